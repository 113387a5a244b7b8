//! The counter of page views. The only module that knows Redis.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, RedisFuture,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::Url;
use yelb_db::{DynamoDbViews, Sqlite, StoreError};
use yelb_service::health::Dependency;
use yelb_service::keeper::{self, Link, Store};
use yelb_service::names::Names;
use yelb_service::telemetry::span::Peer;

use crate::error::ApiError;
use crate::rounds::{RoundError, Rounds, STORE_LIMIT, Work};

/// The original's key.
const KEY: &str = "pageviews";
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Where Redis is and how to log in.
#[derive(Clone)]
pub struct RedisOptions(Box<Client>);

impl RedisOptions {
    /// Reads a `redis://` or `rediss://` URL; `password` is for one that has none. `None` if the URL is of no use.
    pub fn new(url: &Url, password: Option<&SecretString>) -> Option<Self> {
        let mut info = url.clone().into_connection_info().ok()?;
        if let Some(password) = password {
            let login = info.redis_settings().clone().set_password(password.expose_secret());
            info = info.set_redis_settings(login);
        }
        Client::open(info).ok().map(|client| Self(Box::new(client)))
    }

    /// Redis as traces show it, by the name that it has in every deployment of the original.
    fn peer(&self) -> Peer {
        let info = self.0.get_connection_info();
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some((host.clone(), *port))
            }
            _ => None,
        };
        let database = info.redis_settings().db().to_string();
        Peer::server("redis-server", "redis", Some(database), address)
    }
}

impl fmt::Debug for RedisOptions {
    /// Without the login, which the client's own would print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisOptions({})", self.0.get_connection_info().addr())
    }
}

/// The counter of page views. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct PageViews(Arc<Counting>);

#[derive(Debug)]
struct Counting {
    counter: Counter,
    rounds: Rounds<Counter>,
    peer: Peer,
}

/// Where the count is.
#[derive(Debug, Clone)]
enum Counter {
    /// In Redis, under the original's key.
    Redis(Link<MultiplexedConnection>),
    /// In a table of DynamoDB.
    DynamoDb(DynamoDbViews),
    /// In an SQLite file.
    Embedded(Sqlite),
}

/// Why a page view was not counted.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// There is no connection. The keeper is at it.
    #[error("Redis is away")]
    Away,
    /// Redis refused, or went away in the middle.
    #[error("Redis failed")]
    Redis(#[from] RedisError),
    /// The file or the table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There was no answer in time.
    #[error("no answer within {} ms", STORE_LIMIT.as_millis())]
    Silent,
}

impl PageViews {
    /// Starts to keep a connection to Redis, and tells `dependency` how it goes. Returns at once.
    pub fn redis(options: RedisOptions, names: Names, dependency: Dependency) -> Self {
        let peer = options.peer();
        let server = Server { client: *options.0, names };
        Self::at(Counter::Redis(keeper::keep(server, dependency)), peer)
    }

    /// Counts in a table of DynamoDB.
    pub fn dynamodb(table: DynamoDbViews) -> Self {
        let peer = table.peer().clone();
        Self::at(Counter::DynamoDb(table), peer)
    }

    /// Counts in a file.
    pub fn embedded(file: Sqlite) -> Self {
        let peer = file.peer().clone();
        Self::at(Counter::Embedded(file), peer)
    }

    fn at(counter: Counter, peer: Peer) -> Self {
        Self(Arc::new(Counting { rounds: Rounds::new(counter.clone()), counter, peer }))
    }

    /// Counts one page view and answers with the count that it made.
    pub async fn count(&self) -> Result<i64, ApiError> {
        let Counting { counter, rounds, peer } = &*self.0;
        let counted = peer.ask(counter.adding(), rounds.join(add_one, own_count)).await;
        let count = counted.map_err(ApiError::PageViews)?;
        metrics::counter!("yelb_page_views_total").increment(1);
        Ok(count)
    }

    /// The page views so far.
    pub async fn current(&self) -> Result<i64, ApiError> {
        let Counting { counter, peer, .. } = &*self.0;
        let current = peer.ask(counter.reading(), in_time(counter.current())).await;
        current.map_err(|error| ApiError::PageViews(RoundError::Failed(Arc::new(error))))
    }

    /// Puts the store in order at the end of the process.
    pub async fn close(&self) {
        if let Counter::Embedded(file) = &self.0.counter {
            file.close().await;
        }
    }
}

/// Adds a view to those of the round; the ticket is the how manyth it is.
fn add_one(views: &mut i64) -> i64 {
    *views += 1;
    *views
}

/// The count that the `place`th of `views` has made, when all of them together made it `count`.
fn own_count(place: i64, (views, count): &(i64, i64)) -> i64 {
    count - views + place
}

impl Work for Counter {
    type Load = i64;
    /// The views of the round, and the count after them.
    type Done = (i64, i64);
    type Error = ViewsError;

    async fn run(&self, views: i64) -> Result<(i64, i64), ViewsError> {
        Ok((views, in_time(self.add(views)).await?))
    }
}

impl Counter {
    /// What [`Self::add`] asks of the store, as traces show it.
    fn adding(&self) -> &'static str {
        match self {
            Self::Redis(_) => "INCRBY pageviews",
            Self::DynamoDb(_) => "UpdateItem pageviews",
            Self::Embedded(_) => "UPDATE page_views",
        }
    }

    /// What [`Self::current`] asks of it.
    fn reading(&self) -> &'static str {
        match self {
            Self::Redis(_) => "GET pageviews",
            Self::DynamoDb(_) => "BatchGetItem pageviews",
            Self::Embedded(_) => "SELECT page_views",
        }
    }

    async fn add(&self, views: i64) -> Result<i64, ViewsError> {
        match self {
            Self::Redis(link) => ask(link, redis::cmd("INCRBY").arg(KEY).arg(views)).await,
            Self::DynamoDb(table) => Ok(table.add_views(views).await?),
            Self::Embedded(file) => Ok(file.add_views(views).await?),
        }
    }

    async fn current(&self) -> Result<i64, ViewsError> {
        match self {
            Self::Redis(link) => {
                Ok(ask::<Option<i64>>(link, redis::cmd("GET").arg(KEY)).await?.unwrap_or(0))
            }
            Self::DynamoDb(table) => Ok(table.views().await?),
            Self::Embedded(file) => Ok(file.views().await?),
        }
    }
}

async fn in_time(work: impl Future<Output = Result<i64, ViewsError>>) -> Result<i64, ViewsError> {
    timeout(STORE_LIMIT, work).await.unwrap_or(Err(ViewsError::Silent))
}

async fn ask<T: redis::FromRedisValue>(
    link: &Link<MultiplexedConnection>,
    command: &redis::Cmd,
) -> Result<T, ViewsError> {
    let mut connection = link.connection().ok_or(ViewsError::Away)?;
    let answer = command.query_async(&mut connection).await;
    answer.inspect_err(|_| link.doubt()).map_err(ViewsError::Redis)
}

/// Redis as its keeper sees it.
struct Server {
    client: Client,
    names: Names,
}

impl Store for Server {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(STORE_LIMIT))
            .set_dns_resolver(Resolver(self.names.clone()));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await?;
        // A server that wants a password accepts the connection and refuses every command.
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok(connection)
    }

    async fn probe(&self, connection: &MultiplexedConnection) -> Result<(), RedisError> {
        redis::cmd("PING").query_async(&mut connection.clone()).await
    }
}

/// Look-ups by our rules, `SEARCH_DOMAIN` included. TLS goes on to verify the name as it was given.
struct Resolver(Names);

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses = self.0.resolve(host, port).await?;
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
