//! Page views in Redis, under the original's key; also in a cluster, and behind a name whose primary changes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisError, RedisFuture, RedisResult,
};
use secrecy::ExposeSecret;
use url::Url;
use yelb_resolver::Resolver;

use crate::batcher::{BATCH_LIMIT, Batcher, Outputs, Session, Workers};
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::open::StoreServer;
use crate::password::Password;
use crate::status::StatusSender;
use crate::views::{self, View, ViewStore};

static VIEWS: StoreKind = StoreKind {
    keeps: "page-views",
    name: "redis",
    system: "redis",
    // Its name in every deployment of the original.
    node: Some("redis-server"),
    write: "INCRBY pageviews",
    read: "GET pageviews",
};

/// The original's key.
const KEY: &str = "pageviews";
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How often a cluster may name another node before we give up: once, unless it is being rearranged.
const MOST_REDIRECTS: usize = 4;

/// Where Redis is and how to log in.
#[derive(Clone)]
pub struct RedisOptions {
    server: Box<ConnectionInfo>,
    /// Instead of the one in `server`.
    password: Option<Password>,
}

impl StoreServer for RedisOptions {
    const NAME: &str = "Redis";
    const FORM: &str = "redis://host:6379, rediss://host:6379 (TLS)";
    const SCHEMES: [&str; 2] = ["redis", "rediss"];

    fn from_url(url: &Url) -> Result<Self, &'static str> {
        const UNUSABLE: &str = "a URL without a host, or with parts that cannot be used";
        // The parameters that the client knows. It ignores others silently.
        if url.query_pairs().any(|(name, _)| name != "protocol") {
            return Err("a URL with a parameter that is not protocol");
        }
        let server = url.clone().into_connection_info().map_err(|_| UNUSABLE)?;
        Client::open(server.clone()).map_err(|_| UNUSABLE)?;
        Ok(Self { server: Box::new(server), password: None })
    }

    fn with_password(self, password: Password) -> Self {
        Self { password: Some(password), ..self }
    }
}

impl RedisOptions {
    /// The login as it is now.
    async fn login(&self) -> RedisResult<ConnectionInfo> {
        let server = self.server.as_ref().clone();
        let Some(password) = &self.password else { return Ok(server) };
        let password = password.read().await?;
        let login = server.redis_settings().clone().set_password(password.expose_secret());
        Ok(server.set_redis_settings(login))
    }

    fn describe(&self) -> Description {
        let address = match self.server.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some((host.clone(), *port))
            }
            _ => None,
        };
        let namespace = Some(self.server.redis_settings().db().to_string());
        Description { kind: &VIEWS, namespace, address }
    }
}

impl fmt::Debug for RedisOptions {
    /// Without the login, which the client's own would print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisOptions({})", self.server.addr())
    }
}

/// Opens the page views in a Redis, which need not be there yet.
pub(crate) fn open(options: RedisOptions, resolver: Resolver, workers: &Workers) -> ViewStore {
    let description = Arc::new(options.describe());
    let status = StatusSender::new(&VIEWS);
    // Readiness does not wait for page views: the votes go on without them.
    status.prepared();
    let server = Server { options, resolver };
    ViewStore {
        status: status.receiver(),
        add: Batcher::start::<Adder>(server, status, None, workers),
        description,
    }
}

struct Server {
    options: RedisOptions,
    resolver: Resolver,
}

impl Server {
    /// Connects to the server that has the key: any node of a cluster knows which one that is.
    async fn connect_to_owner(&self) -> RedisResult<Adder> {
        let login = self.options.login().await?;
        let mut adder = self.open(login.clone()).await?;
        adder.refuse_sentinel().await?;
        for _ in 0..MOST_REDIRECTS {
            let Err(refusal) = adder.check_writable().await else { return Ok(adder) };
            // `MOVED 11935 10.0.0.3:6379` (Redis cluster specification, "MOVED Redirection").
            let Some((node, _slot)) = refusal.redirect_node() else { return Err(refusal) };
            let addr = address(login.addr(), node)?;
            tracing::debug!(%addr, "another node of the cluster has the page views");
            adder = self.open(login.clone().set_addr(addr)).await?;
        }
        adder.check_writable().await.map(|()| adder)
    }

    async fn open(&self, login: ConnectionInfo) -> RedisResult<Adder> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(BATCH_LIMIT))
            .set_dns_resolver(Lookup(self.resolver.clone()));
        let client = Client::open(login)?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(Adder)
    }
}

/// A session with the server that has the page views.
struct Adder(MultiplexedConnection);

impl Session for Adder {
    type Store = Server;
    type Input = View;
    type Output = i64;

    async fn connect(server: &Server) -> Result<Self, StoreError> {
        let session = server.connect_to_owner().await;
        session.map_err(StoreError::connecting_to(&server.options.server.addr()))
    }

    async fn run(&mut self, batch: &[View]) -> Outputs<i64> {
        let counted = views::counted(batch);
        let mut command = redis::cmd(if counted == 0 { "GET" } else { "INCRBY" });
        command.arg(KEY);
        if counted > 0 {
            command.arg(counted);
        }
        let after: Option<i64> = command
            .query_async(&mut self.0)
            .await
            .map_err(StoreError::doing("count page views"))?;
        // No key, no views yet.
        Ok(views::outputs(batch, after.unwrap_or(0)))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.check_writable().await.map_err(StoreError::doing("count page views on this server"))
    }
}

impl Adder {
    /// A Sentinel answers, and keeps nothing. (`ROLE`, its reference page; servers before 2.8.12 and users without the right
    /// refuse to answer, and are no Sentinel.)
    async fn refuse_sentinel(&mut self) -> RedisResult<()> {
        let role: Vec<redis::Value> =
            redis::cmd("ROLE").query_async(&mut self.0).await.unwrap_or_default();
        if role.first() == Some(&redis::Value::BulkString(b"sentinel".to_vec())) {
            let what = "this is a Sentinel, which keeps no data: name the Redis that it watches";
            return Err((ErrorKind::InvalidClientConfig, what).into());
        }
        Ok(())
    }

    /// Asks whether this is the server to count on. A replica refuses every command that writes (`READONLY`), and a node of
    /// a cluster every command on a key that it has not got (`MOVED`).
    ///
    /// `SETRANGE key 0 ""` is such a command and changes nothing, whether the key exists or not (its reference page).
    async fn check_writable(&mut self) -> RedisResult<()> {
        let mut ask = redis::cmd("SETRANGE");
        ask.arg(KEY).arg(0).arg("");
        match ask.query_async::<i64>(&mut self.0).await {
            Err(refusal) if is_of_any_server(&refusal) => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// Whether looking for another server would not help: the key is no count, the memory is full, the user may not use this one
/// command, or a proxy does not know it. Counting tells its callers of what concerns it.
fn is_of_any_server(refusal: &RedisError) -> bool {
    let codes = ["ERR", "MISCONF", "NOPERM", "NOREPLICAS", "OOM", "WRONGTYPE"];
    refusal.code().is_some_and(|code| codes.contains(&code))
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
struct Lookup(Resolver);

impl AsyncDNSResolver for Lookup {
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
