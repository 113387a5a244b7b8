//! The embedded store: one SQLite file for votes and page views.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};
use yelb_service::telemetry::span::Peer;

use crate::sweep::Sweep;
use crate::{Counted, Poll, Restaurant, Round, StoreError, VoteKey};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long to wait for another process that writes to the same file.
const BUSY_LIMIT: Duration = Duration::from_secs(1);
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// An SQLite file that holds votes and page views. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
    peer: Peer,
    _sweep: Sweep,
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
        add_missing(&pool, poll)
            .await
            .map_err(StoreError::doing("add the restaurants of the poll"))?;
        let sweep = Sweep::start(pool.clone(), forget_keys);
        Ok(Self { pool, peer: Peer::embedded("sqlite"), _sweep: sweep })
    }

    /// The file as traces show it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) async fn count(&self, round: &Round) -> Result<Counted, StoreError> {
        count(&self.pool, round).await.map_err(StoreError::doing("count votes"))
    }

    pub(crate) async fn counts(&self, _: &Poll) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as("select name, count from restaurants")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::doing("read the votes"))
    }

    /// Closes the file. What is in its write-ahead log then goes into the file itself, which can be copied by itself.
    pub async fn close(&self) {
        self.pool.close().await;
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

async fn add_missing(pool: &SqlitePool, poll: &Poll) -> Result<(), sqlx::Error> {
    for restaurant in poll.restaurants() {
        let insert = sqlx::query(
            "insert into restaurants (name, count) values ($1, 0) on conflict do nothing",
        );
        insert.bind(restaurant.name()).execute(pool).await?;
    }
    Ok(())
}

/// Counts a round in one transaction.
async fn count(pool: &SqlitePool, round: &Round) -> Result<Counted, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mut counted = Counted { before: Vec::new(), keyed: Vec::new() };
    for (restaurant, votes) in round.plain() {
        let count = add(&mut transaction, restaurant, *votes).await?;
        counted.before.push(count - votes);
    }
    for (key, restaurant) in round.keyed() {
        let answer = match known(&mut transaction, key).await? {
            Some(answer) => answer,
            None => {
                let count = add(&mut transaction, restaurant, 1).await?;
                remember(&mut transaction, key, restaurant, count).await?;
                (restaurant.to_string(), count)
            }
        };
        counted.keyed.push(answer);
    }
    transaction.commit().await?;
    Ok(counted)
}

async fn add(
    connection: &mut SqliteConnection,
    restaurant: &Restaurant,
    votes: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into restaurants (name, count) values ($1, $2)
         on conflict (name) do update set count = count + excluded.count returning count",
    )
    .bind(restaurant.name())
    .bind(votes)
    .fetch_one(connection)
    .await
}

async fn known(
    connection: &mut SqliteConnection,
    key: &VoteKey,
) -> Result<Option<(String, i64)>, sqlx::Error> {
    let query = sqlx::query_as("select name, count from vote_keys where key = $1");
    query.bind(key.as_str()).fetch_optional(connection).await
}

async fn remember(
    connection: &mut SqliteConnection,
    key: &VoteKey,
    restaurant: &Restaurant,
    count: i64,
) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("insert into vote_keys (key, name, count) values ($1, $2, $3)");
    insert
        .bind(key.as_str())
        .bind(restaurant.name())
        .bind(count)
        .execute(connection)
        .await
        .map(drop)
}

/// Forgets keys that are older than a day, a part of them at a time, and says how many it were.
async fn forget_keys(pool: SqlitePool) -> Result<u64, sqlx::Error> {
    let forget = "delete from vote_keys where key in
        (select key from vote_keys where counted_at < unixepoch() - 86400 limit 1000)";
    Ok(sqlx::query(forget).execute(&pool).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VoteStore;

    async fn open(url: &str) -> Sqlite {
        Sqlite::open(url, &Poll::default()).await.unwrap()
    }

    /// Votes in one round, and answers with the count that each vote has made.
    async fn vote(store: &Sqlite, votes: &[(&str, Option<&str>)]) -> Vec<i64> {
        let (mut round, poll) = (Round::default(), Poll::default());
        let add = |(name, key): &(&str, Option<&str>)| {
            round.add(poll.restaurant(name).unwrap(), key.map(|key| key.parse().unwrap()))
        };
        let tickets: Vec<_> = votes.iter().map(add).collect();
        let counted = store.count(&round).await.unwrap();
        tickets.into_iter().map(|ticket| counted.count(ticket).unwrap()).collect()
    }

    #[tokio::test]
    async fn counts_survive_closing_and_opening() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("new/yelb.db").display());

        let store = open(&url).await;
        assert_eq!(vote(&store, &[("ihop", None)]).await, [1]);
        assert_eq!(store.add_views(1).await.unwrap(), 1);
        store.pool.close().await;

        let store = open(&url).await;
        assert_eq!(
            vote(&store, &[("outback", None), ("ihop", None), ("ihop", None)]).await,
            [1, 2, 3]
        );
        assert_eq!(store.views().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_tally_is_in_the_order_of_the_poll() {
        let store = open("sqlite::memory:").await;
        let poll = Poll::default();
        vote(&store, &[("chipotle", None)]).await;

        let tally = VoteStore::Sqlite(store).tally(&poll).await.unwrap();
        let tally: Vec<_> =
            tally.iter().map(|(restaurant, count)| (restaurant.name(), *count)).collect();
        assert_eq!(tally, [("outback", 0), ("bucadibeppo", 0), ("ihop", 0), ("chipotle", 1)]);
    }

    #[tokio::test]
    async fn a_missing_row_is_made_by_its_first_vote() {
        let store = open("sqlite::memory:").await;
        sqlx::query("delete from restaurants").execute(&store.pool).await.unwrap();
        assert_eq!(vote(&store, &[("ihop", None)]).await, [1]);
    }

    #[tokio::test]
    async fn a_key_is_counted_once_and_answered_again() {
        let store = open("sqlite::memory:").await;
        assert_eq!(
            vote(&store, &[("ihop", None), ("ihop", Some("a")), ("ihop", Some("b"))]).await,
            [1, 2, 3]
        );
        assert_eq!(
            vote(&store, &[("ihop", Some("a")), ("ihop", Some("c")), ("ihop", None)]).await,
            [2, 5, 4]
        );
    }

    #[tokio::test]
    async fn a_key_is_forgotten_after_a_day() {
        let store = open("sqlite::memory:").await;
        vote(&store, &[("ihop", Some("old")), ("ihop", Some("new"))]).await;
        let age = "update vote_keys set counted_at = counted_at - 86401 where key = 'old'";
        sqlx::query(age).execute(&store.pool).await.unwrap();

        assert_eq!(forget_keys(store.pool.clone()).await.unwrap(), 1);
        assert_eq!(vote(&store, &[("ihop", Some("old")), ("ihop", Some("new"))]).await, [3, 2]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_says_why() {
        let error = Sqlite::open("sqlite:/dev/null/yelb.db", &Poll::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot make the folder of the database");
    }
}
