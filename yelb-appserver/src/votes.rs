//! The ballot box.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use metrics::Counter;
use tokio::time::timeout;
use yelb_db::{Count, Counted, Poll, Restaurant, Round, StoreError, VoteKey, VoteStore};
use yelb_service::telemetry::span::Peer;

use crate::error::ApiError;
use crate::rounds::{Rounds, STORE_LIMIT, Work};

/// The ballot box: a store, and who stands for election. Cloning it clones one handle, which happens for every request.
#[derive(Debug, Clone)]
pub struct Votes(Arc<BallotBox>);

#[derive(Debug)]
struct BallotBox {
    store: VoteStore,
    casting: Rounds<Casting>,
    reading: Rounds<Reading>,
    poll: Poll,
    peer: Peer,
    /// Handles, because to look one up by its name takes longer than to count.
    acknowledged: HashMap<Restaurant, Counter>,
}

/// All counts, as one query found them, for everybody who waited for it.
#[derive(Debug)]
pub struct Tally {
    counts: Vec<Count>,
    written: OnceLock<Bytes>,
}

impl Tally {
    /// In the order of the poll.
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// As `write` writes them, which is asked once for all who have this tally.
    pub fn written(&self, write: impl FnOnce(&[Count]) -> String) -> Bytes {
        self.written.get_or_init(|| write(&self.counts).into()).clone()
    }
}

/// Why a vote was not confirmed, or the votes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VotesError {
    /// The store said why.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There was no answer in time. The vote may have been counted.
    #[error("no answer within {} ms", STORE_LIMIT.as_millis())]
    Silent,
}

impl Votes {
    /// The ballot box of `poll`, kept in `store`.
    pub fn new(store: VoteStore, poll: Poll) -> Self {
        let peer = store.peer().clone();
        let casting = Rounds::new(Casting { store: store.clone() });
        let reading = Rounds::new(Reading { store: store.clone(), poll: poll.clone() });
        let acknowledged = poll.restaurants().iter().map(|restaurant| {
            let name = restaurant.to_string();
            (restaurant.clone(), metrics::counter!("yelb_votes_total", "restaurant" => name))
        });
        let acknowledged = acknowledged.collect();
        Self(Arc::new(BallotBox { store, casting, reading, poll, peer, acknowledged }))
    }

    /// Who can be voted for.
    pub fn poll(&self) -> &Poll {
        &self.0.poll
    }

    /// Counts a vote and answers with the count that it made, once the store has committed it.
    ///
    /// A vote whose `key` was counted before is not counted again, and gets the answer of the first time.
    pub async fn cast(
        &self,
        restaurant: &Restaurant,
        key: Option<VoteKey>,
    ) -> Result<i64, ApiError> {
        let counted = self
            .0
            .casting
            .join(|round| round.add(restaurant, key), |ticket, counted| counted.count(ticket));
        let counted = self.0.peer.ask(self.0.store.counting(), counted).await;
        let count = counted.map_err(ApiError::Votes)?.map_err(ApiError::KeyReused)?;
        if let Some(acknowledged) = self.0.acknowledged.get(restaurant) {
            acknowledged.increment(1);
        }
        Ok(count)
    }

    /// All counts, as a query found them that began after this was called.
    pub async fn tally(&self) -> Result<Arc<Tally>, ApiError> {
        let tally = self.0.reading.join(|()| (), |(), tally| Arc::clone(tally));
        self.0.peer.ask(self.0.store.reading(), tally).await.map_err(ApiError::Votes)
    }

    /// Puts the store in order at the end of the process.
    pub async fn close(&self) {
        self.0.store.close().await;
    }
}

/// The rounds that count votes.
struct Casting {
    store: VoteStore,
}

impl Work for Casting {
    type Load = Round;
    type Done = Counted;
    type Error = VotesError;

    async fn run(&self, round: Round) -> Result<Counted, VotesError> {
        in_time(self.store.count(&round)).await
    }
}

/// The rounds that read them.
struct Reading {
    store: VoteStore,
    poll: Poll,
}

impl Work for Reading {
    type Load = ();
    type Done = Arc<Tally>;
    type Error = VotesError;

    async fn run(&self, (): ()) -> Result<Arc<Tally>, VotesError> {
        let counts = in_time(self.store.tally(&self.poll)).await?;
        Ok(Arc::new(Tally { counts, written: OnceLock::new() }))
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, VotesError> {
    match timeout(STORE_LIMIT, work).await {
        Ok(outcome) => outcome.map_err(VotesError::Store),
        Err(_) => Err(VotesError::Silent),
    }
}
