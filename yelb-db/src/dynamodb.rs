//! DynamoDB: the original's tables, adopted or made.
//!
//! The original has a table for the votes, an item for each restaurant, and one for what it keeps in Redis otherwise, with
//! one item, `pageviews`. It adds by reading and writing back, which loses votes; here both are atomic.

mod client;
mod record;
mod schema;
mod table;

use std::sync::Arc;

use tokio::sync::OnceCell;
use yelb_poll::Poll;

use crate::Migrate;
use crate::batcher::{Batcher, Connect, Outputs, Session, Workers};
use crate::dynamodb_options::DynamoDbOptions;
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::maintenance::{self, Maintain};
use crate::status::StatusSender;
use crate::views::{self, View, ViewStore};
use crate::votes::{Recorded, Tally, Vote, VoteBatch, VoteStore};
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
    workers: &Workers,
) -> VoteStore {
    let description = Arc::new(describe(&VOTES, &options));
    let service = Service::new(options, &VOTES_LAYOUT, poll.names(), migrate);
    let writer = StatusSender::new(&VOTES);
    let reader = writer.for_reader();
    maintenance::start(Arc::clone(&service), writer.clone(), workers);
    VoteStore {
        status: writer.receiver(),
        read: Batcher::start(
            Sessions { service: Arc::clone(&service), make: move |schema| Reader(schema, poll) },
            reader,
            None,
            workers,
        ),
        record: Batcher::start(
            Sessions { service, make: move |schema| Writer(schema, poll) },
            writer,
            None,
            workers,
        ),
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
    let service = Service::new(options, &VIEWS_LAYOUT, vec![PAGE_VIEWS], migrate);
    let status = StatusSender::new(&VIEWS);
    // Readiness does not wait for page views: the votes go on without them.
    status.prepared();
    maintenance::start(Arc::clone(&service), status.clone(), workers);
    ViewStore {
        status: status.receiver(),
        add: Batcher::start(Sessions { service, make: Adder }, status, None, workers),
        description,
    }
}

/// Makes the table of the votes and its items where they are missing, once.
pub(crate) async fn migrate_votes(options: DynamoDbOptions, poll: Poll) -> Result<(), StoreError> {
    Service::new(options, &VOTES_LAYOUT, poll.names(), Migrate::Auto).schema().await.make().await
}

/// As [`migrate_votes`], for the page views.
pub(crate) async fn migrate_views(options: DynamoDbOptions) -> Result<(), StoreError> {
    let service = Service::new(options, &VIEWS_LAYOUT, vec![PAGE_VIEWS], Migrate::Auto);
    service.schema().await.make().await
}

fn describe(kind: &'static StoreKind, options: &DynamoDbOptions) -> Description {
    Description { kind, namespace: Some(options.table.clone()), address: None }
}

/// A table, and what it is to have. Its client has connections of its own.
struct Service {
    options: DynamoDbOptions,
    layout: &'static Layout,
    items: Vec<&'static str>,
    migrate: Migrate,
    schema: OnceCell<Arc<Schema>>,
}

impl Service {
    fn new(
        options: DynamoDbOptions,
        layout: &'static Layout,
        items: Vec<&'static str>,
        migrate: Migrate,
    ) -> Arc<Self> {
        Arc::new(Self { options, layout, items, migrate, schema: OnceCell::new() })
    }

    async fn schema(&self) -> Arc<Schema> {
        let make = async || {
            let name = self.options.table.as_str().into();
            let table =
                Table { client: client::client(&self.options).await, name, layout: self.layout };
            Arc::new(Schema { table, items: self.items.clone(), migrate: self.migrate })
        };
        Arc::clone(self.schema.get_or_init(make).await)
    }
}

impl Maintain for Arc<Service> {
    async fn prepare(&self) -> Result<(), StoreError> {
        self.schema().await.prepare().await
    }
}

/// Sessions of one kind.
struct Sessions<F> {
    service: Arc<Service>,
    make: F,
}

impl<S: Session, F: Fn(Arc<Schema>) -> S + Send + Sync + 'static> Connect for Sessions<F> {
    type Session = S;

    /// A service that answers is up, also if it has no such table: [`Schema::prepare`] sees to that, or says so.
    async fn connect(&self) -> Result<S, StoreError> {
        let schema = self.service.schema().await;
        match schema.ping().await {
            Ok(()) | Err(StoreError::NotReady(_)) => Ok((self.make)(schema)),
            Err(error) => Err(error),
        }
    }
}

struct Writer(Arc<Schema>, Poll);

impl Session for Writer {
    type Input = Vote;
    type Output = Recorded;

    async fn run(&mut self, votes: &[Vote]) -> Outputs<Recorded> {
        let Self(schema, poll) = self;
        let batch = VoteBatch::new(votes);
        let counted = record::record(&schema.table, poll, &batch).await?;
        Ok(batch.outputs(poll, &counted))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

struct Reader(Arc<Schema>, Poll);

impl Session for Reader {
    type Input = ();
    type Output = Arc<Tally>;

    async fn run(&mut self, batch: &[()]) -> Outputs<Arc<Tally>> {
        let Self(schema, poll) = self;
        let items = schema.table.read(&poll.names(), "read the votes").await?;
        Ok(Tally::new(poll, &items).shared(batch.len()))
    }

    /// The writer asks, on the same client.
    async fn ping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Adder(Arc<Schema>);

impl Session for Adder {
    type Input = View;
    type Output = i64;

    async fn run(&mut self, batch: &[View]) -> Outputs<i64> {
        let views = views::count(batch.len());
        let after = self.0.table.add(PAGE_VIEWS, views, "count page views").await?;
        Ok(views::outputs(batch.len(), after))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}
