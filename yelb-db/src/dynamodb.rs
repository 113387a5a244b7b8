//! DynamoDB: the original's tables, adopted or made.
//!
//! The original has a table for the votes, an item for each restaurant, and one for what it keeps in Redis otherwise, with
//! one item, `pageviews`. It adds by reading and writing back, which loses votes; here both are atomic.

mod client;
mod counting;
mod service;
mod table;

use yelb_service::health::Dependency;
use yelb_service::telemetry::span::Peer;

pub use client::DynamoDbOptions;

use crate::{Counted, Migrate, Poll, Round, StoreError};
use table::{Layout, Table};

/// The original's table of votes. The keys of votes are items of the same table, so that an app server needs no right on
/// another one; the original never lists items and does not see them.
const VOTES: Layout = Layout { key: "name", count: "restaurantcount", expires: Some("expires") };
/// The original's table of page views.
const VIEWS: Layout = Layout { key: "counter", count: "pageviewscount", expires: None };
/// The one item of it.
const PAGE_VIEWS: &str = "pageviews";

/// The votes in a table of DynamoDB. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    table: Table,
    peer: Peer,
}

impl DynamoDb {
    /// Starts to keep in touch with the table, and tells `dependency` how it goes. Returns at once, whether the service is
    /// there or not.
    pub fn keep(
        options: DynamoDbOptions,
        migrate: Migrate,
        poll: &Poll,
        dependency: Dependency,
    ) -> Self {
        let peer = options.peer();
        Self { table: Table::keep(options, &VOTES, poll.names(), migrate, dependency), peer }
    }

    /// Makes the table and its items where they are missing, once.
    pub async fn migrate(options: DynamoDbOptions, poll: &Poll) -> Result<(), StoreError> {
        service::make(options, &VOTES, poll.names()).await
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) async fn count(&self, round: &Round) -> Result<Counted, StoreError> {
        counting::count(&self.table, round).await
    }

    pub(crate) async fn counts(&self, poll: &Poll) -> Result<Vec<(String, i64)>, StoreError> {
        self.table.read(&poll.names(), "read the votes").await
    }
}

/// The page views in a table of DynamoDB. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct DynamoDbViews {
    table: Table,
    peer: Peer,
}

impl DynamoDbViews {
    /// As [`DynamoDb::keep`].
    pub fn keep(options: DynamoDbOptions, migrate: Migrate, dependency: Dependency) -> Self {
        let peer = options.peer();
        let items = vec![PAGE_VIEWS.to_owned()];
        Self { table: Table::keep(options, &VIEWS, items, migrate, dependency), peer }
    }

    /// As [`DynamoDb::migrate`].
    pub async fn migrate(options: DynamoDbOptions) -> Result<(), StoreError> {
        service::make(options, &VIEWS, vec![PAGE_VIEWS.to_owned()]).await
    }

    /// The table as traces show it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Counts page views and answers with the count after them.
    pub async fn add_views(&self, views: i64) -> Result<i64, StoreError> {
        self.table.add(PAGE_VIEWS, views, "count page views").await
    }

    /// The page views so far.
    pub async fn views(&self) -> Result<i64, StoreError> {
        let items = self.table.read(&[PAGE_VIEWS.to_owned()], "read the page views").await?;
        Ok(items.first().map_or(0, |(_, views)| *views))
    }
}
