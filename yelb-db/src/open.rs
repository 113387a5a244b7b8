//! Opening the stores: the one place that knows which kinds there are.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::DropGuard;
use url::Url;
use yelb_poll::Poll;
use yelb_resolver::Resolver;

use crate::batcher::Workers;
#[cfg(feature = "dynamodb")]
use crate::dynamodb::{self, DynamoDbOptions};
use crate::error::StoreError;
use crate::password::Password;
use crate::postgres::{self, PostgresOptions};
use crate::redis::{self, RedisOptions};
use crate::sqlite::Sqlite;
use crate::views::ViewStore;
use crate::votes::VoteStore;

/// How long it may take to close the stores of a process that ends.
pub const CLOSE_LIMIT: Duration = Duration::from_millis(400);

/// Where the stores are.
#[derive(Debug, Clone)]
pub struct Location {
    /// Where the votes are.
    pub votes: VoteLocation,
    /// Where the page views are.
    pub views: ViewLocation,
    /// Who applies migrations.
    pub migrate: Migrate,
    /// How long a vote's key is known, at least.
    pub keys_kept: Duration,
}

/// Where a store is.
#[derive(Debug, Clone)]
pub enum StoreLocation<S> {
    /// A server.
    Server(S),
    /// A table of DynamoDB.
    #[cfg(feature = "dynamodb")]
    DynamoDb(DynamoDbOptions),
    /// The `sqlite:` URL of a file, which may be that of the other store.
    Sqlite(String),
}

/// Where the votes are.
pub type VoteLocation = StoreLocation<PostgresOptions>;
/// Where the page views are.
pub type ViewLocation = StoreLocation<RedisOptions>;

/// A server that keeps a store, by its URL.
pub trait StoreServer: Clone {
    /// Its name, for people.
    const NAME: &str;
    /// What its URLs look like, for people.
    const FORM: &str;
    /// The schemes of its URLs.
    const SCHEMES: [&str; 2];

    /// The server that a URL names. The error says what was found, without a word of the URL.
    fn from_url(url: &Url) -> Result<Self, &'static str>;
    /// The same server, with this password instead of the URL's.
    #[must_use]
    fn with_password(self, password: Password) -> Self;
}

/// Who applies pending migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// This process, when it first reaches the database, under a lock.
    Auto,
    /// `yelb-appserver migrate`, as a step of its own.
    Never,
}

/// The stores of a process, which work until this is closed or dropped.
#[derive(Debug)]
pub struct Stores {
    /// The votes.
    pub votes: VoteStore,
    /// The page views.
    pub views: ViewStore,
    workers: Workers,
    files: Vec<Sqlite>,
    _stop: DropGuard,
}

/// A store that cannot be opened at all: a file that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {url}")]
pub struct OpenError {
    /// Its URL, which has no secret.
    pub url: String,
    /// Why.
    pub source: StoreError,
}

/// Opens the stores. Servers need not be reachable yet; a file is opened, or made, at once.
pub async fn open(
    location: &Location,
    poll: Poll,
    resolver: &Resolver,
) -> Result<Stores, OpenError> {
    let workers = Workers::default();
    let keys_kept = location.keys_kept;
    let mut files = Files { poll, keys_kept, open: Vec::new() };
    let votes = match &location.votes {
        VoteLocation::Server(options) => {
            let (options, resolver) = (options.clone(), resolver.clone());
            postgres::open(options, location.migrate, poll, resolver, keys_kept, &workers)
        }
        #[cfg(feature = "dynamodb")]
        VoteLocation::DynamoDb(options) => {
            dynamodb::open_votes(options.clone(), location.migrate, poll, keys_kept, &workers)
        }
        VoteLocation::Sqlite(url) => files.open(url).await?.votes(&workers),
    };
    let views = match &location.views {
        ViewLocation::Server(options) => redis::open(options.clone(), resolver.clone(), &workers),
        #[cfg(feature = "dynamodb")]
        ViewLocation::DynamoDb(options) => {
            dynamodb::open_views(options.clone(), location.migrate, &workers)
        }
        ViewLocation::Sqlite(url) => files.open(url).await?.views(&workers),
    };
    workers.tasks.close();
    let files = files.open.into_iter().map(|(_, file)| file).collect();
    let stop = workers.stop.clone().drop_guard();
    Ok(Stores { votes, views, workers, files, _stop: stop })
}

/// The files that are open, so that votes and page views in one file share its connection.
struct Files {
    poll: Poll,
    keys_kept: Duration,
    open: Vec<(String, Sqlite)>,
}

impl Files {
    async fn open(&mut self, url: &str) -> Result<Sqlite, OpenError> {
        if let Some((_, file)) = self.open.iter().find(|(known, _)| known == url) {
            return Ok(file.clone());
        }
        let file = Sqlite::open(url, self.poll, self.keys_kept)
            .await
            .map_err(|source| OpenError { url: url.to_owned(), source })?;
        self.open.push((url.to_owned(), file.clone()));
        Ok(file)
    }
}

impl Stores {
    /// Finishes what waits, ends the sessions and closes the files, within [`CLOSE_LIMIT`]: a store that is silent is not
    /// waited for.
    pub async fn close(self) {
        self.workers.stop.cancel();
        let closing = async {
            self.workers.tasks.wait().await;
            for file in self.files {
                file.close().await;
            }
        };
        if timeout(CLOSE_LIMIT, closing).await.is_err() {
            tracing::warn!("the sessions with the stores were not closed in order");
        }
    }
}

/// Makes what the stores at `location` lack, once, and says in the log what it was.
pub async fn migrate(
    location: &Location,
    poll: Poll,
    resolver: &Resolver,
) -> Result<(), StoreError> {
    match &location.votes {
        VoteLocation::Server(options) => {
            let (options, resolver) = (options.clone(), resolver.clone());
            let applied = postgres::migrate(options, poll, resolver, location.keys_kept).await?;
            tracing::info!(applied, "migrated");
        }
        #[cfg(feature = "dynamodb")]
        VoteLocation::DynamoDb(options) => {
            dynamodb::migrate_votes(options.clone(), poll).await?;
            tracing::info!("the table of the votes is complete");
        }
        VoteLocation::Sqlite(url) => {
            Sqlite::open(url, poll, location.keys_kept).await?.close().await;
            tracing::info!("an SQLite file is migrated whenever it is opened");
        }
    }
    #[cfg(feature = "dynamodb")]
    if let ViewLocation::DynamoDb(options) = &location.views {
        dynamodb::migrate_views(options.clone()).await?;
        tracing::info!("the table of the page views is complete");
    }
    Ok(())
}

impl<S: StoreServer> fmt::Display for StoreLocation<S> {
    /// For people, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(_) => f.write_str(S::NAME),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => f.write_str("DynamoDB"),
            Self::Sqlite(url) => f.write_str(url.trim_start_matches("sqlite:")),
        }
    }
}
