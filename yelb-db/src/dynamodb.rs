//! DynamoDB: uses the original's tables, or creates them.
//!
//! The original has a table for the votes, an item for each restaurant, and one for what it keeps in Redis otherwise, with
//! one item, `pageviews`. It adds by reading and writing back, which loses votes; here both are atomic.

mod client;
mod options;
mod record;
mod schema;
mod settle;
mod table;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use yelb_poll::Poll;

use crate::Migrate;
use crate::batcher::{Batcher, Outputs, Session, Workers};
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::maintenance::{self, Maintain};
use crate::status::StatusSender;
use crate::views::{self, View, ViewStore};
use crate::votes::{Recorded, Tally, Vote, VoteStore};
pub use options::{DynamoDbOptions, InvalidTableName, TableName};
use schema::Schema;
use table::{Layout, Table};

static VOTES: StoreKind = StoreKind {
    keeps: "votes",
    name: "dynamodb",
    system: "aws.dynamodb",
    // AWS's services stand on the map by their own names.
    node: Some("DynamoDB"),
    write: "UpdateItem restaurants",
    read: "BatchGetItem restaurants",
};
static VIEWS: StoreKind = StoreKind {
    keeps: "page-views",
    write: "UpdateItem pageviews",
    read: "BatchGetItem pageviews",
    ..VOTES
};

/// The original's table of votes. The keys of votes are items of the same table, so that an app server needs no right on
/// another one; the original never lists items and does not see them.
const VOTES_LAYOUT: Layout =
    Layout { key: "name", count: "restaurantcount", expires: Some("expires") };
/// The original's table of page views.
const VIEWS_LAYOUT: Layout = Layout { key: "counter", count: "pageviewscount", expires: None };
/// The one item of it.
const PAGE_VIEWS: &str = "pageviews";

/// Opens the votes in a table, which need not be there yet.
pub(crate) fn open_votes(
    options: DynamoDbOptions,
    migrate: Migrate,
    poll: Poll,
    keys_kept: Duration,
    workers: &Workers,
) -> VoteStore {
    let description = Arc::new(describe(&VOTES, &options));
    let service = Arc::new(Service { keys_kept, ..Service::of_votes(options, migrate, poll) });
    let writer = StatusSender::new(&VOTES);
    let reader = writer.for_reader();
    maintenance::start(Arc::clone(&service), writer.clone(), workers);
    VoteStore {
        status: writer.receiver(),
        read: Batcher::start::<Reader>(Arc::clone(&service), reader, None, workers),
        record: Batcher::start::<Writer>(service, writer, None, workers),
        description,
    }
}

/// Opens the page views in a table, which need not be there yet.
pub(crate) fn open_views(
    options: DynamoDbOptions,
    migrate: Migrate,
    workers: &Workers,
) -> ViewStore {
    let description = Arc::new(describe(&VIEWS, &options));
    let service = Arc::new(Service::of_views(options, migrate));
    let status = StatusSender::new(&VIEWS);
    // Readiness does not wait for page views: the votes go on without them.
    status.prepared();
    maintenance::start(Arc::clone(&service), status.clone(), workers);
    ViewStore {
        status: status.receiver(),
        add: Batcher::start::<Adder>(service, status, None, workers),
        description,
    }
}

/// Makes the table of the votes and its items where they are missing, once.
pub(crate) async fn migrate_votes(options: DynamoDbOptions, poll: Poll) -> Result<(), StoreError> {
    Service::of_votes(options, Migrate::Auto, poll).schema().await.make().await
}

/// As [`migrate_votes`], for the page views.
pub(crate) async fn migrate_views(options: DynamoDbOptions) -> Result<(), StoreError> {
    Service::of_views(options, Migrate::Auto).schema().await.make().await
}

fn describe(kind: &'static StoreKind, options: &DynamoDbOptions) -> Description {
    Description { kind, namespace: Some(options.table.clone()), address: None }
}

/// A table, and what it is to have. The client has connections of its own, which all sessions share.
struct Service {
    options: DynamoDbOptions,
    layout: &'static Layout,
    items: Vec<&'static str>,
    migrate: Migrate,
    /// Of what votes.
    keys_kept: Duration,
    schema: OnceCell<Arc<Schema>>,
}

impl Service {
    fn of_votes(options: DynamoDbOptions, migrate: Migrate, poll: Poll) -> Self {
        Self {
            options,
            layout: &VOTES_LAYOUT,
            items: poll.names(),
            migrate,
            keys_kept: Duration::ZERO,
            schema: OnceCell::new(),
        }
    }

    fn of_views(options: DynamoDbOptions, migrate: Migrate) -> Self {
        let items = vec![PAGE_VIEWS];
        Self {
            options,
            layout: &VIEWS_LAYOUT,
            items,
            migrate,
            keys_kept: Duration::ZERO,
            schema: OnceCell::new(),
        }
    }

    async fn schema(&self) -> &Arc<Schema> {
        let make = async || {
            let (client, name) = (client::client(&self.options).await, &*self.options.table);
            let keys_kept = self.keys_kept;
            let table = Table { client, name: name.into(), layout: self.layout, keys_kept };
            Arc::new(Schema { table, items: self.items.clone(), migrate: self.migrate })
        };
        self.schema.get_or_init(make).await
    }

    /// The schema of a service that answers, also if it has no such table: [`Schema::prepare`] sees to that, or says so.
    async fn reach(&self) -> Result<Arc<Schema>, StoreError> {
        let schema = self.schema().await;
        match schema.ping().await {
            Ok(()) | Err(StoreError::NotReady(_)) => Ok(Arc::clone(schema)),
            Err(error) => Err(error),
        }
    }
}

impl Maintain for Arc<Service> {
    async fn prepare(&self) -> Result<(), StoreError> {
        self.reach().await.map_err(|_| StoreError::Down)?.prepare().await
    }
}

/// Counts votes.
struct Writer(Arc<Schema>);

impl Session for Writer {
    type Store = Arc<Service>;
    type Input = Vote;
    type Output = Recorded;

    async fn connect(service: &Arc<Service>) -> Result<Self, StoreError> {
        service.reach().await.map(Self)
    }

    async fn run(&mut self, votes: &[Vote]) -> Outputs<Recorded> {
        settle::settle(&self.0.table, &self.0.items, votes).await
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// Reads votes.
struct Reader(Arc<Schema>);

impl Session for Reader {
    type Store = Arc<Service>;
    type Input = ();
    type Output = Arc<Tally>;

    async fn connect(service: &Arc<Service>) -> Result<Self, StoreError> {
        service.reach().await.map(Self)
    }

    async fn run(&mut self, batch: &[()]) -> Outputs<Arc<Tally>> {
        let Schema { table, items, .. } = &*self.0;
        let found = table.read(items, "read the votes").await?;
        Ok(Tally::new(items, &found).shared(batch.len()))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// Counts page views.
struct Adder(Arc<Schema>);

impl Session for Adder {
    type Store = Arc<Service>;
    type Input = View;
    type Output = i64;

    async fn connect(service: &Arc<Service>) -> Result<Self, StoreError> {
        service.reach().await.map(Self)
    }

    async fn run(&mut self, batch: &[View]) -> Outputs<i64> {
        let (table, counted) = (&self.0.table, views::counted(batch));
        let after = if counted == 0 {
            let found = table.read(&[PAGE_VIEWS], "read the page views").await?;
            // No item, no views yet.
            found.first().map_or(0, |(_, count)| *count)
        } else {
            table.add(PAGE_VIEWS, counted, "count page views").await?
        };
        Ok(views::outputs(batch, after))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}
