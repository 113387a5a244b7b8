//! The stores as handlers use them: each request is a part of its trace, and what was confirmed is counted for the metrics.

use std::sync::Arc;

use metrics::Counter;
use yelb_db::{Description, KeyReused, Tally, ViewStore, Vote, VoteStore};
use yelb_poll::Poll;
use yelb_service::telemetry::span::Peer;

use crate::error::ApiError;

/// The votes. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct Votes(Arc<TracedVotes>);

#[derive(Debug)]
struct TracedVotes {
    store: VoteStore,
    peer: Peer,
    /// One for each choice of the poll: to look one up by its name takes longer than to count.
    acknowledged: Vec<Counter>,
}

impl Votes {
    /// The votes of `poll`.
    pub fn new(store: VoteStore, poll: &Poll) -> Self {
        let counter = |name| metrics::counter!("yelb_votes_total", "restaurant" => name);
        let acknowledged = poll.names().into_iter().map(counter).collect();
        let peer = peer(store.description());
        Self(Arc::new(TracedVotes { store, peer, acknowledged }))
    }

    /// Counts a vote and answers with its own count, once the store has committed it. A vote whose key was counted before
    /// is not counted again, and gets the answer of the first time.
    pub async fn record(&self, vote: Vote) -> Result<i64, ApiError> {
        let TracedVotes { store, peer, acknowledged } = &*self.0;
        let counter = &acknowledged[vote.choice.index()];
        let recorded = peer.ask(store.description().kind.write, store.record(vote)).await;
        let count = recorded.map_err(ApiError::Vote)?.map_err(|KeyReused| ApiError::KeyReused)?;
        counter.increment(1);
        Ok(count)
    }

    /// All counts, as a query found them that began after this was called.
    pub async fn tally(&self) -> Result<Arc<Tally>, ApiError> {
        let TracedVotes { store, peer, .. } = &*self.0;
        peer.ask(store.description().kind.read, store.read()).await.map_err(ApiError::Tally)
    }
}

/// The page views. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct PageViews(Arc<TracedViews>);

#[derive(Debug)]
struct TracedViews {
    store: ViewStore,
    peer: Peer,
    counted: Counter,
}

impl PageViews {
    /// The page views in this store.
    pub fn new(store: ViewStore) -> Self {
        let peer = peer(store.description());
        let counted = metrics::counter!("yelb_page_views_total");
        Self(Arc::new(TracedViews { store, peer, counted }))
    }

    /// Counts one page view and answers with the count that it made.
    pub async fn count(&self) -> Result<i64, ApiError> {
        let TracedViews { store, peer, counted } = &*self.0;
        let count = peer.ask(store.description().kind.write, store.add()).await;
        let count = count.map_err(ApiError::PageView)?;
        counted.increment(1);
        Ok(count)
    }
}

fn peer(description: &Description) -> Peer {
    let Description { kind, namespace, address } = description.clone();
    match kind.node {
        Some(node) => Peer::server(node, kind.system, namespace, address),
        None => Peer::embedded(kind.system),
    }
}
