//! The embedded store: one SQLite file for votes and page views.

mod file;
mod record;

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
use crate::votes::{Recorded, Tally, Vote, VoteStore};

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
        self.0.place.check().map_err(StoreError::refused("count votes"))?;
        let outputs = record::record(&mut *self.0.lock().await, &self.0.names, votes).await?;
        self.0.place.check().map_err(StoreError::doing("count votes"))?;
        Ok(outputs)
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

#[cfg(test)]
mod tests;
