//! The embedded store: one SQLite file for votes and page views.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

use crate::{Count, Poll, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long to wait for another process that writes to the same file.
const BUSY_LIMIT: Duration = Duration::from_secs(1);
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// An SQLite file that holds votes and page views. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// Opens the database of a `sqlite:` URL, making the file, its folder and the schema where they are missing.
    pub async fn open(url: &str, poll: &Poll) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(StoreError::doing("read the sqlite: URL"))?;
        make_folder(options.get_filename())
            .map_err(StoreError::doing("make the folder of the database"))?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode `normal` may lose the last commits with the power; a vote's 200 says that it is safe.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_LIMIT)
            .disable_statement_logging();
        // SQLite has one writer anyway. One connection, never closed, also keeps an in-memory database alive.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(StoreError::doing("open the database"))?;
        MIGRATIONS.run(&pool).await.map_err(StoreError::Migrate)?;
        let store = Self { pool };
        store.add_missing(poll).await?;
        Ok(store)
    }

    async fn add_missing(&self, poll: &Poll) -> Result<(), StoreError> {
        for restaurant in poll.restaurants() {
            sqlx::query(
                "insert into restaurants (name, count) values ($1, 0) on conflict do nothing",
            )
            .bind(restaurant.name())
            .execute(&self.pool)
            .await
            .map_err(StoreError::doing("add a restaurant of the poll"))?;
        }
        Ok(())
    }

    pub(crate) async fn add(&self, votes: &[Count]) -> Result<Vec<i64>, StoreError> {
        self.add_in_one(votes).await.map_err(StoreError::doing("count votes"))
    }

    async fn add_in_one(&self, votes: &[Count]) -> Result<Vec<i64>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut counts = Vec::with_capacity(votes.len());
        for (restaurant, votes) in votes {
            let count = sqlx::query_scalar(
                "insert into restaurants (name, count) values ($1, $2)
                 on conflict (name) do update set count = count + excluded.count returning count",
            );
            counts.push(count.bind(restaurant.name()).bind(votes).fetch_one(&mut *transaction).await?);
        }
        transaction.commit().await?;
        Ok(counts)
    }

    pub(crate) async fn counts(&self, _: &Poll) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as("select name, count from restaurants")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::doing("read the votes"))
    }

    /// Counts page views and answers with the count after them.
    pub async fn add_views(&self, views: i64) -> Result<i64, StoreError> {
        sqlx::query_scalar("update page_views set count = count + $1 returning count")
            .bind(views)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::doing("count page views"))
    }

    /// The page views so far.
    pub async fn views(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("select count from page_views")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::doing("read the page views"))
    }
}

fn make_folder(file: &Path) -> Result<(), sqlx::Error> {
    match file.parent() {
        Some(folder) => Ok(std::fs::create_dir_all(folder)?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VoteStore;

    async fn open(url: &str) -> Sqlite {
        Sqlite::open(url, &Poll::default()).await.unwrap()
    }

    fn votes(name: &str, votes: i64) -> Count {
        (Poll::default().restaurant(name).unwrap().clone(), votes)
    }

    #[tokio::test]
    async fn counts_survive_closing_and_opening() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("new/yelb.db").display());
        let store = open(&url).await;
        assert_eq!(store.add(&[votes("ihop", 1)]).await.unwrap(), [1]);
        assert_eq!(store.add_views(1).await.unwrap(), 1);
        store.pool.close().await;

        let store = open(&url).await;
        assert_eq!(store.add(&[votes("outback", 3), votes("ihop", 2)]).await.unwrap(), [3, 3]);
        assert_eq!(store.views().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_tally_is_in_the_order_of_the_poll() {
        let store = open("sqlite::memory:").await;
        let poll = Poll::default();
        store.add(&[votes("chipotle", 1)]).await.unwrap();

        let tally = VoteStore::Sqlite(store).tally(&poll).await.unwrap();
        let tally: Vec<_> =
            tally.iter().map(|(restaurant, count)| (restaurant.name(), *count)).collect();
        assert_eq!(tally, [("outback", 0), ("bucadibeppo", 0), ("ihop", 0), ("chipotle", 1)]);
    }

    #[tokio::test]
    async fn a_missing_row_is_made_by_its_first_vote() {
        let store = open("sqlite::memory:").await;
        sqlx::query("delete from restaurants").execute(&store.pool).await.unwrap();
        assert_eq!(store.add(&[votes("ihop", 1)]).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_says_why() {
        let error = Sqlite::open("sqlite:/dev/null/yelb.db", &Poll::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot make the folder of the database");
    }
}
