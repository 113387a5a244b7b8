//! The embedded store: one SQLite file for votes and page views.

mod file;

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use yelb_poll::Poll;

use self::file::Place;
use crate::batcher::{Batcher, Outputs, Session, Workers};
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::maintenance::{self, Maintain, SWEEP_PAUSE};
use crate::status::StatusSender;
use crate::views::{self, View, ViewStore};
use crate::votes::{CountedBatch, Recorded, Tally, Vote, VoteBatch, VoteStore};

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

/// A transaction that writes takes its turn at the beginning. By default it would begin to read, and be refused at once
/// instead of waiting when it wants to write what another process has changed since.
const BEGIN: &str = "begin immediate";

/// An open file. Cloning it clones a handle to its one connection: SQLite has one writer anyway.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    connection: Arc<Mutex<SqliteConnection>>,
    place: Arc<Place>,
    /// Of the poll's choices, in order.
    names: Vec<&'static str>,
    keys_kept: Duration,
}

impl Sqlite {
    /// Opens the database of a `sqlite:` URL, making the file, its folder and the schema where they are missing.
    pub(crate) async fn open(
        url: &str,
        poll: Poll,
        keys_kept: Duration,
    ) -> Result<Self, StoreError> {
        let names = poll.names();
        let (connection, place) = file::open(url, &names).await?;
        let (connection, place) = (Arc::new(Mutex::new(connection)), Arc::new(place));
        Ok(Self { connection, place, names, keys_kept })
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
            tracing::warn!(
                %error,
                "cannot close the SQLite file in order: {error}; its -wal file has votes: keep the files together"
            );
        }
    }

    /// Whether it is still the file that its path leads to.
    fn reach(&self) -> Result<(), StoreError> {
        self.place.check().map_err(StoreError::doing("go on with the file"))
    }

    async fn lock(&self) -> MutexGuard<'_, SqliteConnection> {
        self.connection.lock().await
    }
}

fn describe(kind: &'static StoreKind) -> Description {
    Description { kind, namespace: None, address: None }
}

impl Maintain for Sqlite {
    /// Nothing is left to do: opening the file has prepared it.
    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        loop {
            let part = forget_keys(&mut *self.lock().await, self.keys_kept).await;
            if part.map_err(StoreError::doing("delete old vote keys"))? == 0 {
                return Ok(());
            }
            sleep(SWEEP_PAUSE).await;
        }
    }
}

/// Deletes a part of the keys that are older than `kept`, and says how many they were.
async fn forget_keys(
    connection: &mut SqliteConnection,
    kept: Duration,
) -> Result<u64, sqlx::Error> {
    let forget = "delete from vote_keys where key in
        (select key from vote_keys where counted_at < unixepoch() - $1 limit 1000)";
    let forget = sqlx::query(forget).bind(i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
    Ok(forget.execute(connection).await?.rows_affected())
}

/// Counts votes. As the other two, it is one more handle to the open file.
struct Writer(Sqlite);

impl Session for Writer {
    type Store = Sqlite;
    type Input = Vote;
    type Output = Recorded;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        file.reach().map(|()| Self(file.clone()))
    }

    async fn run(&mut self, votes: &[Vote]) -> Outputs<Recorded> {
        let batch = VoteBatch::new(&self.0.names, votes);
        self.0.place.check().map_err(StoreError::refused("count votes"))?;
        let counted = record(&mut *self.0.lock().await, &batch).await?;
        self.0.place.check().map_err(StoreError::doing("count votes"))?;
        Ok(batch.outputs(&counted))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.reach()
    }
}

/// Reads votes.
struct Reader(Sqlite);

impl Session for Reader {
    type Store = Sqlite;
    type Input = ();
    type Output = Arc<Tally>;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        file.reach().map(|()| Self(file.clone()))
    }

    async fn run(&mut self, batch: &[()]) -> Outputs<Arc<Tally>> {
        let rows: Vec<(String, i64)> = sqlx::query_as("select name, count from restaurants")
            .fetch_all(&mut *self.0.lock().await)
            .await
            .map_err(StoreError::doing("read the votes"))?;
        Ok(Tally::new(&self.0.names, &rows).shared(batch.len()))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.reach()
    }
}

/// Counts page views.
struct Adder(Sqlite);

impl Session for Adder {
    type Store = Sqlite;
    type Input = View;
    type Output = i64;

    async fn connect(file: &Sqlite) -> Result<Self, StoreError> {
        file.reach().map(|()| Self(file.clone()))
    }

    async fn run(&mut self, batch: &[View]) -> Outputs<i64> {
        self.0.place.check().map_err(StoreError::refused("count page views"))?;
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

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.reach()
    }
}

/// Counts a batch in one transaction.
async fn record(
    connection: &mut SqliteConnection,
    batch: &VoteBatch<'_>,
) -> Result<CountedBatch, StoreError> {
    let refused = || StoreError::refused("count votes");
    let mut transaction = connection.begin_with(BEGIN).await.map_err(refused())?;
    let counted = count(&mut transaction, batch).await.map_err(refused())?;
    transaction.commit().await.map_err(StoreError::doing("count votes"))?;
    Ok(counted)
}

async fn count(
    connection: &mut SqliteConnection,
    batch: &VoteBatch<'_>,
) -> Result<CountedBatch, sqlx::Error> {
    let mut counted = CountedBatch::default();
    for (name, votes) in &batch.plain {
        let count = add(&mut *connection, name, *votes).await?;
        counted.before.push(count - votes);
    }
    for (key, name) in &batch.keyed {
        let answer = match known(&mut *connection, key).await? {
            Some(answer) => answer,
            None => {
                let count = add(&mut *connection, name, 1).await?;
                remember(&mut *connection, key, name, count).await?;
                ((*name).to_owned(), count)
            }
        };
        counted.keyed.push(answer);
    }
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
mod tests;
