//! Page views in Redis, or in a cluster of it. The only module that knows Redis.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, RedisFuture, RedisResult, ServerErrorKind,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;
use yelb_service::health::Dependency;
use yelb_service::keeper::{self, Link, Store};
use yelb_service::names::Names;
use yelb_service::telemetry::span::Peer;

use crate::rounds::STORE_LIMIT;

/// The original's key.
const KEY: &str = "pageviews";
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How often a cluster may send us on before we give up: once, unless it is being rearranged.
const MOST_REDIRECTS: usize = 4;
/// A server that refuses to write is looked for elsewhere, and no more often than this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    pub(super) fn peer(&self) -> Peer {
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

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RedisFailed {
    /// There is no connection. The keeper is at it.
    #[error("Redis is away")]
    Away,
    /// It refused, or went away in the middle.
    #[error("Redis failed")]
    Failed(#[from] RedisError),
}

/// The page views in Redis, under the original's key. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Redis(Link<Session>);

impl Redis {
    /// Starts to keep a connection, and tells `dependency` how it goes. Returns at once.
    pub(super) fn keep(options: RedisOptions, names: Names, dependency: Dependency) -> Self {
        Self(keeper::keep(Server { client: *options.0, names }, dependency))
    }

    /// Adds page views, and answers with the count after them.
    pub(super) async fn add_views(&self, views: i64) -> Result<i64, RedisFailed> {
        self.ask(redis::cmd("INCRBY").arg(KEY).arg(views)).await
    }

    /// The page views so far.
    pub(super) async fn views(&self) -> Result<i64, RedisFailed> {
        let views: Option<i64> = self.ask(redis::cmd("GET").arg(KEY)).await?;
        Ok(views.unwrap_or(0))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFailed> {
        let mut session = self.0.connection().ok_or(RedisFailed::Away)?;
        let answer = command.query_async(&mut session.connection).await;
        answer.map_err(|error| {
            if is_elsewhere(&error) {
                session.misled.store(true, Ordering::Relaxed);
            }
            self.0.doubt();
            RedisFailed::Failed(error)
        })
    }
}

/// Whether the key can be written at another server: a cluster's other node, or what was this replica's primary.
fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | ReadOnly))
}

/// A connection to the server that has the key, as far as we know.
#[derive(Clone)]
struct Session {
    connection: MultiplexedConnection,
    since: Instant,
    /// It answers, but no longer writes.
    misled: Arc<AtomicBool>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("misled", &self.misled).finish_non_exhaustive()
    }
}

/// Redis as its keeper sees it.
struct Server {
    client: Client,
    names: Names,
}

impl Server {
    async fn open(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(STORE_LIMIT))
            .set_dns_resolver(Resolver(self.names.clone()));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // A server that wants a password accepts the connection and refuses every command.
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok(connection)
    }
}

impl Store for Server {
    type Connection = Session;
    type Error = RedisError;

    /// Connects to the server that has the key: in a cluster whoever is asked knows which one that is.
    async fn connect(&self) -> RedisResult<Session> {
        let mut connection = self.open(&self.client).await?;
        for _ in 0..MOST_REDIRECTS {
            let Some(node) = owner(&mut connection).await else { break };
            let addr = address(self.client.get_connection_info().addr(), &node)?;
            tracing::debug!(%addr, "the cluster has the page views elsewhere");
            let info = self.client.get_connection_info().clone().set_addr(addr);
            connection = self.open(&Client::open(info)?).await?;
        }
        Ok(Session { connection, since: Instant::now(), misled: Arc::default() })
    }

    async fn probe(&self, session: &Session) -> RedisResult<()> {
        if session.misled.load(Ordering::Relaxed) && session.since.elapsed() >= LOOK_AGAIN {
            return Err((ErrorKind::Io, "the server no longer writes").into());
        }
        redis::cmd("PING").query_async(&mut session.connection.clone()).await
    }
}

/// The node that the cluster names instead of this one, if it does.
///
/// A node answers with `MOVED 11935 10.0.0.3:6379` for a key that is not its own (Redis cluster specification, "MOVED
/// Redirection"). Any other answer, a refusal included, is for those who ask for page views.
async fn owner(connection: &mut MultiplexedConnection) -> Option<String> {
    let answer: RedisResult<i64> = redis::cmd("EXISTS").arg(KEY).query_async(connection).await;
    answer.err()?.redirect_node().map(|(node, _slot)| node.to_owned())
}

/// The address of a node, to be reached as the first one was. Without a host it is another port of the same host.
fn address(first: &ConnectionAddr, node: &str) -> RedisResult<ConnectionAddr> {
    let parts = node.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts else {
        let what = "the cluster names a node that is no address";
        return Err((ErrorKind::Parse, what, node.to_owned()).into());
    };
    let mut address = first.clone();
    match &mut address {
        ConnectionAddr::Tcp(to, at) | ConnectionAddr::TcpTls { host: to, port: at, .. } => {
            if !host.is_empty() {
                // IPv6 is named in brackets or without.
                host.trim_matches(['[', ']']).clone_into(to);
            }
            *at = port;
        }
        _ => return Err((ErrorKind::InvalidClientConfig, "a socket is in no cluster").into()),
    }
    Ok(address)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_as_the_first_one_was() {
        let plain = ConnectionAddr::Tcp("redis-server".to_owned(), 6379);
        let tls = ConnectionAddr::TcpTls {
            host: "redis-server".to_owned(),
            port: 6379,
            insecure: false,
            tls_params: None,
        };
        for (node, expected) in [
            ("10.0.0.3:6380", "10.0.0.3:6380"),
            (":6380", "redis-server:6380"),
            ("fd00::3:6380", "fd00::3:6380"),
            ("[fd00::3]:6380", "fd00::3:6380"),
            ("node-3.example:6380", "node-3.example:6380"),
        ] {
            assert_eq!(address(&plain, node).unwrap().to_string(), expected);
            let secured = address(&tls, node).unwrap();
            assert!(matches!(&secured, ConnectionAddr::TcpTls { port: 6380, .. }), "{secured:?}");
            assert_eq!(secured.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        let first = ConnectionAddr::Tcp("redis-server".to_owned(), 6379);
        for node in ["", "10.0.0.3", "10.0.0.3:", "10.0.0.3:99999"] {
            assert!(address(&first, node).unwrap_err().to_string().contains(node), "{node}");
        }
    }
}
