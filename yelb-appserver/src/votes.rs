//! The ballot box.

use std::time::Duration;

use tokio::time::timeout;
use yelb_db::{Count, Poll, Restaurant, StoreError, VoteStore};

use crate::error::ApiError;

/// How long a request waits for a store before it answers 503. Longer than a store's own limits (1 s for a connection,
/// 1.8 s for a statement), shorter than the 5 s that a whole request may take.
pub const STORE_LIMIT: Duration = Duration::from_secs(3);

/// The ballot box: a store, and who stands for election. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Votes {
    store: VoteStore,
    poll: Poll,
}

/// Why a vote was not confirmed, or the votes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VotesError {
    /// The store said why.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There was no answer in time. The vote may have been counted.
    #[error("no answer within {} s", STORE_LIMIT.as_secs())]
    Silent,
}

impl Votes {
    /// The ballot box of `poll`, kept in `store`.
    pub fn new(store: VoteStore, poll: Poll) -> Self {
        Self { store, poll }
    }

    /// Who can be voted for.
    pub fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Counts a vote and answers with the count that it made, once the store has committed it.
    pub async fn cast(&self, restaurant: &Restaurant) -> Result<i64, ApiError> {
        let count = in_time(self.store.cast(restaurant)).await?;
        metrics::counter!("yelb_votes_total", "restaurant" => restaurant.to_string()).increment(1);
        Ok(count)
    }

    /// All counts, in the order of the poll.
    pub async fn tally(&self) -> Result<Vec<Count>, ApiError> {
        in_time(self.store.tally(&self.poll)).await
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    match timeout(STORE_LIMIT, work).await {
        Ok(outcome) => outcome.map_err(|error| ApiError::Votes(error.into())),
        Err(_) => Err(ApiError::Votes(VotesError::Silent)),
    }
}
