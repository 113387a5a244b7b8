//! The stores as handlers use them: each use is a part of the request's trace, and is counted and measured for the metrics.

mod measured;

use std::sync::Arc;

use metrics::Counter;
use tracing::Span;
use yelb_db::{Description, KeyReused, Tally, ViewStore, Vote, VoteStore};
use yelb_poll::Poll;
use yelb_service::telemetry::span;

use crate::error::ApiError;
use crate::live::Live;
use measured::wait;

pub use measured::METRICS;

/// The votes. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct Votes(Arc<TracedVotes>);

#[derive(Debug)]
struct TracedVotes {
    store: VoteStore,
    /// One for each choice of the poll: to look one up by its name takes longer than to count.
    acknowledged: Vec<Counter>,
    live: Live,
}

impl Votes {
    /// The votes of `poll`. `live` is notified of each one.
    pub fn new(store: VoteStore, poll: &Poll, live: Live) -> Self {
        let counter = |name| metrics::counter!("yelb_votes_total", "restaurant" => name);
        let acknowledged = poll.names().into_iter().map(counter).collect();
        Self(Arc::new(TracedVotes { store, acknowledged, live }))
    }

    /// Counts a vote and answers with its own count, once the store has committed it. A vote whose key was counted before
    /// is not counted again, and gets the answer of the first time.
    pub async fn record(&self, vote: Vote) -> Result<i64, ApiError> {
        let TracedVotes { store, acknowledged, live } = &*self.0;
        let counter = &acknowledged[vote.choice.index()];
        let kind = store.description().kind;
        let recorded = wait(kind, kind.write, store.record(vote));
        let recorded = span::run(write(store.description()), recorded).await;
        let count = recorded.map_err(ApiError::Vote)?.map_err(|KeyReused| ApiError::KeyReused)?;
        counter.increment(1);
        live.counted();
        Ok(count)
    }

    /// All counts, as a query found them that began after this was called.
    pub async fn tally(&self) -> Result<Arc<Tally>, ApiError> {
        let store = &self.0.store;
        let kind = store.description().kind;
        let tally = wait(kind, kind.read, store.read());
        span::run(read(store.description()), tally).await.map_err(ApiError::Tally)
    }
}

/// The page views. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct PageViews(Arc<TracedViews>);

#[derive(Debug)]
struct TracedViews {
    store: ViewStore,
    counted: Counter,
}

impl PageViews {
    /// The page views in this store.
    pub fn new(store: ViewStore) -> Self {
        let counted = metrics::counter!("yelb_page_views_total");
        Self(Arc::new(TracedViews { store, counted }))
    }

    /// Counts one page view and answers with the count that it made.
    pub async fn count(&self) -> Result<i64, ApiError> {
        let TracedViews { store, counted } = &*self.0;
        let kind = store.description().kind;
        let count = wait(kind, kind.write, store.add());
        let count = span::run(write(store.description()), count).await;
        let count = count.map_err(ApiError::PageView)?;
        counted.increment(1);
        Ok(count)
    }
}

fn write(description: &Description) -> Span {
    asked(description, description.kind.write)
}

fn read(description: &Description) -> Span {
    asked(description, description.kind.read)
}

/// A request's wait for a store. `what` is the operation and what it is done to, such as `UPDATE restaurants`.
fn asked(Description { kind, namespace, address }: &Description, what: &'static str) -> Span {
    tracing::trace_span!(
        "store",
        otel.name = what,
        // A file has no server, so there is no call to trace.
        otel.kind = if kind.node.is_some() { "client" } else { "internal" },
        peer.service = kind.node,
        db.system.name = kind.system,
        db.namespace = namespace.as_deref(),
        db.operation.name = what.split(' ').next(),
        db.query.summary = what,
        server.address = address.as_ref().map(|(host, _)| &**host),
        server.port = address.as_ref().map(|(_, port)| i64::from(*port)),
    )
}
