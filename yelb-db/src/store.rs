use yelb_service::telemetry::span::Peer;

use crate::{Counted, DynamoDb, Poll, Postgres, Restaurant, Round, Sqlite, StoreError};

/// A restaurant and its votes.
pub type Count = (Restaurant, i64);

/// Where the votes are. Cloning it clones a handle.
///
/// An enum, not a trait: every place that votes would have to be generic over it.
#[derive(Debug, Clone)]
pub enum VoteStore {
    /// PostgreSQL, or what speaks its protocol.
    Postgres(Postgres),
    /// A table of DynamoDB.
    DynamoDb(DynamoDb),
    /// An SQLite file.
    Sqlite(Sqlite),
}

impl VoteStore {
    /// The store as traces show it.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::Postgres(store) => store.peer(),
            Self::DynamoDb(store) => store.peer(),
            Self::Sqlite(store) => store.peer(),
        }
    }

    /// What [`Self::count`] asks of the store, as traces show it.
    pub fn counting(&self) -> &'static str {
        match self {
            Self::Postgres(_) | Self::Sqlite(_) => "UPDATE restaurants",
            Self::DynamoDb(_) => "UpdateItem restaurants",
        }
    }

    /// What [`Self::tally`] asks of it.
    pub fn reading(&self) -> &'static str {
        match self {
            Self::Postgres(_) | Self::Sqlite(_) => "SELECT restaurants",
            Self::DynamoDb(_) => "BatchGetItem restaurants",
        }
    }

    /// Counts the votes of a round, durably. A vote whose key is known already is not counted again. A missing row is made.
    ///
    /// A failure may leave the outcome unknown: the database may have gone away between the commit and its answer. In SQL a
    /// round is one step, all of it or nothing. DynamoDB takes as many as a round needs, and a failure may be in the middle;
    /// a vote with a key is counted and remembered in one step everywhere.
    pub async fn count(&self, round: &Round) -> Result<Counted, StoreError> {
        match self {
            Self::Postgres(store) => store.count(round).await,
            Self::DynamoDb(store) => store.count(round).await,
            Self::Sqlite(store) => store.count(round).await,
        }
    }

    /// The counts of all restaurants of the poll, in its order. One without a row has 0.
    pub async fn tally(&self, poll: &Poll) -> Result<Vec<Count>, StoreError> {
        let rows = match self {
            Self::Postgres(store) => store.counts(poll).await?,
            Self::DynamoDb(store) => store.counts(poll).await?,
            Self::Sqlite(store) => store.counts(poll).await?,
        };
        let count_of =
            |name: &str| rows.iter().find(|(row, _)| row == name).map_or(0, |(_, count)| *count);
        Ok(poll
            .restaurants()
            .iter()
            .map(|restaurant| (restaurant.clone(), count_of(restaurant.name())))
            .collect())
    }

    /// Puts a file in order at the end of the process. A server needs nothing.
    pub async fn close(&self) {
        match self {
            Self::Postgres(_) | Self::DynamoDb(_) => {}
            Self::Sqlite(store) => store.close().await,
        }
    }
}
