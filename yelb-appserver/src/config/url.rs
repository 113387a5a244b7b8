//! Where a store is, as a URL says it.

use std::str::FromStr;

use url::Url;
use yelb_db::StoreServer;
#[cfg(feature = "dynamodb")]
use yelb_db::TableName;

/// The URLs of stores that are on no server.
#[cfg(feature = "dynamodb")]
pub(super) const OTHERS: &str = ", sqlite:FILE or dynamodb://TABLE";
#[cfg(not(feature = "dynamodb"))]
pub(super) const OTHERS: &str = " or sqlite:FILE";

/// Where a store is.
#[derive(Debug, Clone)]
pub(super) enum StoreUrl<S> {
    /// A server, and whether the URL has its password.
    Server(S, bool),
    /// The `sqlite:` URL of a file.
    Sqlite(String),
    /// A table of DynamoDB.
    #[cfg(feature = "dynamodb")]
    DynamoDb(TableName),
}

impl<S: StoreServer> FromStr for StoreUrl<S> {
    type Err = String;

    /// Reads a URL. The error says what was found without telling what may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let read = match scheme {
            "sqlite" => sqlite_file(text, rest).map(Self::Sqlite),
            "dynamodb" => Self::table(rest),
            scheme if S::SCHEMES.contains(&scheme) => Self::server(text),
            scheme if rest.starts_with("//") => Err(format!("{scheme}://")),
            _ => Err("text that is no such URL".to_owned()),
        };
        read.map_err(|found| format!("expected {}{OTHERS}, got {found}", S::FORM))
    }
}

impl<S: StoreServer> StoreUrl<S> {
    fn server(text: &str) -> Result<Self, String> {
        // This parser's reasons have nothing of the URL in them; the drivers' may.
        let url =
            Url::parse(text).map_err(|reason| format!("a URL that cannot be read: {reason}"))?;
        if url.fragment().is_some() {
            return Err("a URL with #, which a password has as %23".to_owned());
        }
        if url.port() == Some(0) {
            return Err("port 0".to_owned());
        }
        Ok(Self::Server(S::from_url(&url)?, url.password().is_some()))
    }

    #[cfg(feature = "dynamodb")]
    fn table(rest: &str) -> Result<Self, String> {
        let name = rest.strip_prefix("//").unwrap_or_default();
        name.parse().map(Self::DynamoDb).map_err(|rule| format!("no name of a table: {rule}"))
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
    let is_named = !name.is_empty() && !name.starts_with('?');
    is_named.then(|| url.to_owned()).ok_or_else(|| "sqlite: without a file".to_owned())
}
