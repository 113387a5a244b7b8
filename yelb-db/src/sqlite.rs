//! The embedded store: one SQLite file for votes and page views.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use yelb_poll::Poll;

use crate::batcher::{Batcher, Outputs, Session, Workers};
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::maintenance::{self, Maintain, SWEEP_PAUSE};
use crate::status::StatusSender;
use crate::views::{self, View, ViewStore};
use crate::votes::{CountedBatch, Recorded, Tally, Vote, VoteBatch, VoteStore};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

static VOTES: StoreKind = StoreKind {
    keeps: "votes",
    name: "sqlite",
    system: "sqlite",
    node: None,
    write: "UPDATE restaurants",
    read: "SELECT restaurants",
};
static VIEWS: StoreKind = StoreKind {
    keeps: "page-views",
    write: "UPDATE page_views",
    read: "SELECT page_views",
    ..VOTES
};

/// How long to wait for another process that writes to the same file.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// An open file. Cloning it clones a handle to its one connection: SQLite has one writer anyway.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    connection: Arc<Mutex<SqliteConnection>>,
    /// Of the poll's choices, in order.
    names: Vec<&'static str>,
}

impl Sqlite {
    /// Opens the database of a `sqlite:` URL, making the file, its folder and the schema where they are missing.
    pub(crate) async fn open(url: &str, poll: Poll) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(StoreError::doing("read the sqlite: URL"))?;
        make_folder(options.get_filename())
            .map_err(StoreError::doing("make the folder of the database"))?;
        let mut connection = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode `normal` may lose the last commits with the power; a vote's 200 says that it is safe.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_LIMIT)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(StoreError::doing("open the database"))?;
        MIGRATIONS.run(&mut connection).await.map_err(StoreError::doing("apply the migrations"))?;
        let names = poll.names();
        add_missing(&mut connection, &names)
            .await
            .map_err(StoreError::doing("add the choices of the poll"))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), names })
    }

    /// The votes in this file.
    pub(crate) fn votes(&self, workers: &Workers) -> VoteStore {
        let writer = StatusSender::new(&VOTES);
        let reader = writer.for_reader();
        maintenance::start(self.clone(), writer.clone(), workers);
        // They are there from the beginning: the file is open.
        writer.prepared();
        VoteStore {
            status: writer.receiver(),
            record: Batcher::start::<Writer>(self.clone(), writer, None, workers),
            read: Batcher::start::<Reader>(self.clone(), reader, None, workers),
            description: Arc::new(describe(&VOTES)),
        }
    }

    /// The page views in this file.
    pub(crate) fn views(&self, workers: &Workers) -> ViewStore {
        let status = StatusSender::new(&VIEWS);
        status.prepared();
        ViewStore {
            status: status.receiver(),
            add: Batcher::start::<Adder>(self.clone(), status, None, workers),
            description: Arc::new(describe(&VIEWS)),
        }
    }

    /// Closes the file, once no other handle is left. What is in its write-ahead log then goes into the file itself, which
    /// can be copied by itself.
    pub(crate) async fn close(self) {
        if let Some(connection) = Arc::into_inner(self.connection)
            && let Err(error) = connection.into_inner().close().await
        {
            tracing::warn!(%error, "cannot close the SQLite file in order; its -wal file belongs to it");
        }
    }

    async fn lock(&self) -> MutexGuard<'_, SqliteConnection> {
        self.connection.lock().await
    }
}

fn describe(kind: &'static StoreKind) -> Description {
    Description { kind, namespace: None, address: None }
}

fn make_folder(file: &Path) -> Result<(), sqlx::Error> {
    match file.parent() {
        Some(folder) => Ok(std::fs::create_dir_all(folder)?),
        None => Ok(()),
    }
}

async fn add_missing(connection: &mut SqliteConnection, names: &[&str]) -> Result<(), sqlx::Error> {
    for name in names {
        let insert = sqlx::query(
            "insert into restaurants (name, count) values ($1, 0) on conflict do nothing",
        );
        insert.bind(*name).execute(&mut *connection).await?;
    }
    Ok(())
}

impl Maintain for Sqlite {
    /// Nothing is left to do: opening the file has prepared it.
    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let part = forget_keys(&mut *self.lock().await).await;
            let part = part.map_err(StoreError::doing("delete old vote keys"))?;
            if part == 0 {
                return Ok(deleted);
            }
            deleted += part;
            sleep(SWEEP_PAUSE).await;
        }
    }
}

/// Deletes a part of the keys that are older than a day, and says how many they were.
async fn forget_keys(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let forget = "delete from vote_keys where key in
        (select key from vote_keys where counted_at < unixepoch() - 86400 limit 1000)";
    Ok(sqlx::query(forget).execute(connection).await?.rows_affected())
}

/// Counts votes. As the other two, it is one more handle to the open file.
struct Writer(Sqlite);

impl Session for Writer {
    type Store = Sqlite;
    type Input = Vote;
    type Output = Recorded;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        Ok(Self(file.clone()))
    }

    async fn run(&mut self, votes: &[Vote]) -> Outputs<Recorded> {
        let batch = VoteBatch::new(&self.0.names, votes);
        let counted = record(&mut *self.0.lock().await, &batch).await;
        Ok(batch.outputs(&counted.map_err(StoreError::doing("count votes"))?))
    }
}

/// Reads votes.
struct Reader(Sqlite);

impl Session for Reader {
    type Store = Sqlite;
    type Input = ();
    type Output = Arc<Tally>;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        Ok(Self(file.clone()))
    }

    async fn run(&mut self, batch: &[()]) -> Outputs<Arc<Tally>> {
        let rows: Vec<(String, i64)> = sqlx::query_as("select name, count from restaurants")
            .fetch_all(&mut *self.0.lock().await)
            .await
            .map_err(StoreError::doing("read the votes"))?;
        Ok(Tally::new(&self.0.names, &rows).shared(batch.len()))
    }
}

/// Counts page views.
struct Adder(Sqlite);

impl Session for Adder {
    type Store = Sqlite;
    type Input = View;
    type Output = i64;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        Ok(Self(file.clone()))
    }

    async fn run(&mut self, batch: &[View]) -> Outputs<i64> {
        let counted = views::counted(batch);
        let query = if counted == 0 {
            sqlx::query_scalar("select count from page_views")
        } else {
            sqlx::query_scalar("update page_views set count = count + $1 returning count")
                .bind(counted)
        };
        let after = query
            .fetch_one(&mut *self.0.lock().await)
            .await
            .map_err(StoreError::doing("count page views"))?;
        Ok(views::outputs(batch, after))
    }
}

/// Counts a batch in one transaction.
async fn record(
    connection: &mut SqliteConnection,
    batch: &VoteBatch<'_>,
) -> Result<CountedBatch, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut counted = CountedBatch::default();
    for (name, votes) in &batch.plain {
        let count = add(&mut transaction, name, *votes).await?;
        counted.before.push(count - votes);
    }
    for (key, name) in &batch.keyed {
        let answer = match known(&mut transaction, key).await? {
            Some(answer) => answer,
            None => {
                let count = add(&mut transaction, name, 1).await?;
                remember(&mut transaction, key, name, count).await?;
                ((*name).to_owned(), count)
            }
        };
        counted.keyed.push(answer);
    }
    transaction.commit().await?;
    Ok(counted)
}

async fn add(
    connection: &mut SqliteConnection,
    name: &str,
    votes: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into restaurants (name, count) values ($1, $2)
         on conflict (name) do update set count = count + excluded.count returning count",
    )
    .bind(name)
    .bind(votes)
    .fetch_one(connection)
    .await
}

async fn known(
    connection: &mut SqliteConnection,
    key: &str,
) -> Result<Option<(String, i64)>, sqlx::Error> {
    let query = sqlx::query_as("select name, count from vote_keys where key = $1");
    query.bind(key).fetch_optional(connection).await
}

async fn remember(
    connection: &mut SqliteConnection,
    key: &str,
    name: &str,
    count: i64,
) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("insert into vote_keys (key, name, count) values ($1, $2, $3)");
    insert.bind(key).bind(name).bind(count).execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(url: &str) -> Sqlite {
        Sqlite::open(url, Poll::default()).await.unwrap()
    }

    /// Votes in one batch, and answers with the count that each vote has made.
    async fn vote(file: &Sqlite, votes: &[(&str, Option<&str>)]) -> Vec<i64> {
        let vote = |(id, key): &(&str, Option<&str>)| Vote {
            choice: Poll::default().find(id).unwrap(),
            key: key.map(|key| key.parse().unwrap()),
        };
        let votes: Vec<Vote> = votes.iter().map(vote).collect();
        let outputs = Writer(file.clone()).run(&votes).await.unwrap();
        outputs.into_iter().map(|output| output.unwrap().unwrap()).collect()
    }

    async fn view(file: &Sqlite) -> i64 {
        let counted = Adder(file.clone()).run(&[View::Counted]).await.unwrap().remove(0).unwrap();
        let read = Adder(file.clone()).run(&[View::Read]).await.unwrap().remove(0).unwrap();
        assert_eq!(read, counted);
        read
    }

    #[tokio::test]
    async fn counts_survive_closing_and_opening() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("new/yelb.db").display());

        let file = open(&url).await;
        assert_eq!(vote(&file, &[("ihop", None)]).await, [1]);
        assert_eq!(view(&file).await, 1);
        file.close().await;

        let file = open(&url).await;
        let votes = [("outback", None), ("ihop", None), ("ihop", None)];
        assert_eq!(vote(&file, &votes).await, [1, 2, 3]);
        assert_eq!(view(&file).await, 2);
    }

    #[tokio::test]
    async fn a_read_has_every_vote_in_the_order_of_the_poll() {
        let file = open("sqlite::memory:").await;
        vote(&file, &[("chipotle", None)]).await;
        let tally = Reader(file).run(&[()]).await.unwrap().remove(0).unwrap();
        assert_eq!(tally.counts(), [0, 0, 0, 1]);
    }

    #[tokio::test]
    async fn a_missing_row_is_made_by_its_first_vote() {
        let file = open("sqlite::memory:").await;
        let delete = sqlx::query("delete from restaurants");
        delete.execute(&mut *file.lock().await).await.unwrap();
        assert_eq!(vote(&file, &[("ihop", None)]).await, [1]);
    }

    #[tokio::test]
    async fn a_key_is_counted_once_and_answered_again() {
        let file = open("sqlite::memory:").await;
        let votes = [("ihop", None), ("ihop", Some("a")), ("ihop", Some("b"))];
        assert_eq!(vote(&file, &votes).await, [1, 2, 3]);
        let votes = [("ihop", Some("a")), ("ihop", Some("c")), ("ihop", None)];
        assert_eq!(vote(&file, &votes).await, [2, 5, 4]);
    }

    #[tokio::test]
    async fn a_key_is_forgotten_after_a_day() {
        let file = open("sqlite::memory:").await;
        vote(&file, &[("ihop", Some("old")), ("ihop", Some("new"))]).await;
        let age = "update vote_keys set counted_at = counted_at - 86401 where key = 'old'";
        sqlx::query(age).execute(&mut *file.lock().await).await.unwrap();

        assert_eq!(file.sweep().await.unwrap(), 1);
        assert_eq!(vote(&file, &[("ihop", Some("old")), ("ihop", Some("new"))]).await, [3, 2]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_says_why() {
        let error = Sqlite::open("sqlite:/dev/null/yelb.db", Poll::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot make the folder of the database");
    }
}
