//! The counter of page views.

mod redis;

use std::sync::Arc;

use tokio::time::timeout;
use yelb_db::{DynamoDbViews, Sqlite, StoreError};
use yelb_service::health::Dependency;
use yelb_service::names::Names;
use yelb_service::telemetry::span::Peer;

use crate::error::ApiError;
use crate::rounds::{RoundError, Rounds, STORE_LIMIT, Work};

use self::redis::Redis;
pub use self::redis::{RedisFailed, RedisOptions};

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
    Redis(Redis),
    /// In a table of DynamoDB.
    DynamoDb(DynamoDbViews),
    /// In an SQLite file.
    Embedded(Sqlite),
}

/// Why a page view was not counted.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// Redis is away, refused, or went away in the middle.
    #[error(transparent)]
    Redis(#[from] RedisFailed),
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
        Self::at(Counter::Redis(Redis::keep(options, names, dependency)), peer)
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
            Self::Redis(redis) => Ok(redis.add_views(views).await?),
            Self::DynamoDb(table) => Ok(table.add_views(views).await?),
            Self::Embedded(file) => Ok(file.add_views(views).await?),
        }
    }

    async fn current(&self) -> Result<i64, ViewsError> {
        match self {
            Self::Redis(redis) => Ok(redis.views().await?),
            Self::DynamoDb(table) => Ok(table.views().await?),
            Self::Embedded(file) => Ok(file.views().await?),
        }
    }
}

async fn in_time(work: impl Future<Output = Result<i64, ViewsError>>) -> Result<i64, ViewsError> {
    timeout(STORE_LIMIT, work).await.unwrap_or(Err(ViewsError::Silent))
}
