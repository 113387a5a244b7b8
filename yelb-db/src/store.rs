use crate::{Poll, Postgres, Restaurant, Sqlite, StoreError};

/// A restaurant and its votes.
pub type Count = (Restaurant, i64);

/// Where the votes are. Cloning it clones a handle.
///
/// An enum, not a trait: every place that votes would have to be generic over it.
#[derive(Debug, Clone)]
pub enum VoteStore {
    /// PostgreSQL, or what speaks its protocol.
    Postgres(Postgres),
    /// An SQLite file.
    Sqlite(Sqlite),
}

impl VoteStore {
    /// Adds votes to each of these restaurants, durably and in one step: all of them or none. Answers with the counts
    /// after it, in the same order. A missing row is made.
    ///
    /// A failure may leave the outcome unknown: the database may have gone away between the commit and its answer.
    pub async fn add(&self, votes: &[Count]) -> Result<Vec<i64>, StoreError> {
        match self {
            Self::Postgres(store) => store.add(votes).await,
            Self::Sqlite(store) => store.add(votes).await,
        }
    }

    /// The counts of all restaurants of the poll, in its order. One without a row has 0.
    pub async fn tally(&self, poll: &Poll) -> Result<Vec<Count>, StoreError> {
        let rows = match self {
            Self::Postgres(store) => store.counts(poll).await?,
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
}
