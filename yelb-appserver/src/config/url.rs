//! Where a store is, as a URL says it.

use std::str::FromStr;

use url::Url;
#[cfg(feature = "dynamodb")]
use yelb_db::TableName;
use yelb_db::{Password, PostgresOptions, RedisOptions};

/// The URLs of stores that are not servers of their own protocol.
#[cfg(feature = "dynamodb")]
pub(super) const OTHERS: &str = ", sqlite:FILE or dynamodb://TABLE";
#[cfg(not(feature = "dynamodb"))]
pub(super) const OTHERS: &str = " or sqlite:FILE";

/// Where a store is. `S` is the server that keeps it unless a file or a table does.
#[derive(Debug, Clone)]
pub(super) enum StoreUrl<S> {
    /// A server.
    Server(ServerUrl<S>),
    /// The `sqlite:` URL of a file.
    Sqlite(String),
    /// A table of DynamoDB.
    #[cfg(feature = "dynamodb")]
    DynamoDb(TableName),
}

/// A server, as its URL says it.
#[derive(Debug, Clone)]
pub(super) struct ServerUrl<S> {
    pub(super) server: S,
    pub(super) has_password: bool,
}

/// A server that a URL can name.
pub(super) trait Server: Clone {
    /// How its URL looks, for people.
    const FORM: &str;
    const SCHEMES: [&str; 2];

    fn from_url(url: &Url) -> Option<Self>;
    fn with_password(self, password: Password) -> Self;
}

impl Server for PostgresOptions {
    const FORM: &str = "postgres://user@host:5432/database";
    const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

    fn from_url(url: &Url) -> Option<Self> {
        Self::from_url(url)
    }

    fn with_password(self, password: Password) -> Self {
        self.with_password(password)
    }
}

impl Server for RedisOptions {
    const FORM: &str = "redis://host:6379, rediss://host:6379 (TLS)";
    const SCHEMES: [&str; 2] = ["redis", "rediss"];

    fn from_url(url: &Url) -> Option<Self> {
        Self::from_url(url)
    }

    fn with_password(self, password: Password) -> Self {
        self.with_password(password)
    }
}

impl<S: Server> FromStr for StoreUrl<S> {
    type Err = String;

    /// Reads a URL. The error says what was found without telling what may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let read = match scheme {
            "sqlite" => sqlite_file(text, rest).map(Self::Sqlite),
            "dynamodb" => Self::table(rest),
            scheme if S::SCHEMES.contains(&scheme) => server(text).map(Self::Server),
            scheme if rest.starts_with("//") => Err(format!("{scheme}://")),
            _ => Err("no such URL".to_owned()),
        };
        read.map_err(|found| format!("expected {}{OTHERS}, got {found}", S::FORM))
    }
}

impl<S: Server> StoreUrl<S> {
    #[cfg(feature = "dynamodb")]
    fn table(rest: &str) -> Result<Self, String> {
        let name = rest.strip_prefix("//").ok_or("dynamodb: without //")?;
        name.parse().map(Self::DynamoDb).map_err(|error| format!("no name of a table: {error}"))
    }

    #[cfg(not(feature = "dynamodb"))]
    fn table(_: &str) -> Result<Self, String> {
        let instead = "yelb-appserver has it: cargo run --package yelb-appserver";
        Err(format!("dynamodb://, which this program leaves out; {instead}"))
    }
}

/// Without a name SQLite would take a temporary file, and the votes would end with the process.
fn sqlite_file(url: &str, rest: &str) -> Result<String, String> {
    let name = rest.trim_start_matches("//");
    if name.is_empty() || name.starts_with('?') {
        return Err("sqlite: without a file".to_owned());
    }
    Ok(url.to_owned())
}

fn server<S: Server>(url: &str) -> Result<ServerUrl<S>, String> {
    // The parser's reasons have nothing of the URL in them; the drivers' may.
    let url = Url::parse(url).map_err(|reason| format!("a URL that cannot be read: {reason}"))?;
    let server =
        S::from_url(&url).ok_or("one without a host, or with parts that cannot be used")?;
    Ok(ServerUrl { server, has_password: url.password().is_some() })
}
