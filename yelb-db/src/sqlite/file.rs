//! The file: opened, prepared, and still the one that its path leads to.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::time::{Instant, sleep};

use super::BEGIN;
use crate::error::StoreError;
use crate::migrations;

/// How long to wait for another process that writes to the same file. As a statement of a server's, it ends within a batch.
const BUSY_LIMIT: Duration = Duration::from_millis(1800);
/// How long to wait for another process that opens the same file: while it turns a new one into one with a write-ahead log,
/// SQLite refuses others at once.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// Opens the database of a `sqlite:` URL, making the file, its folder, the schema and the rows where they are missing.
pub(super) async fn open(
    url: &str,
    names: &[&str],
) -> Result<(SqliteConnection, Place), StoreError> {
    let options =
        SqliteConnectOptions::from_str(url).map_err(StoreError::doing("read the sqlite: URL"))?;
    let file = options.get_filename().to_owned();
    make_folder(&file).map_err(StoreError::doing("make the folder of the database"))?;
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode `normal` may lose the last commits with the power; a vote's 200 says that it is safe.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_LIMIT)
        .disable_statement_logging();
    let began = Instant::now();
    loop {
        match open_once(&options, names).await {
            Err(error) if is_busy(&error) && began.elapsed() < OPEN_LIMIT => {
                sleep(OPEN_PAUSE).await;
            }
            Err(error) => return Err(StoreError::doing("open the database")(error)),
            Ok(connection) => return Ok((connection, Place::of(&file))),
        }
    }
}

fn make_folder(file: &Path) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

/// In one transaction, so that two processes do not migrate at once.
async fn open_once(
    options: &SqliteConnectOptions,
    names: &[&str],
) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let mut transaction = connection.begin_with(BEGIN).await?;
    migrations::SQLITE.run_direct(None, &mut *transaction, false).await?;
    add_missing(&mut transaction, names).await?;
    transaction.commit().await?;
    Ok(connection)
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

fn is_busy(error: &sqlx::Error) -> bool {
    /// `SQLITE_BUSY`
    const BUSY: u32 = 5;
    primary_code(error) == Some(BUSY)
}

/// SQLite's result code of an error. Extended ones have it in their lowest byte.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    code.parse().ok().map(|code: u32| code & 0xff)
}

/// Where an open database is: SQLite would go on writing to files that have no name any more, and all of it would be gone
/// with the process.
#[derive(Debug)]
pub(super) struct Place([(PathBuf, Option<Identity>); 2]);

/// Device and inode.
type Identity = (u64, u64);

impl Place {
    /// That of a database that was just opened, and of its write-ahead log, which has what the file has not got yet. One in
    /// memory has neither.
    fn of(file: &Path) -> Self {
        // The log is beside the file itself, not beside a link to it.
        let mut log = fs::canonicalize(file).map_or_else(|_| file.into(), OsString::from);
        log.push("-wal");
        Self([file.to_owned(), log.into()].map(|path| {
            let identity = identity(&path);
            (path, identity)
        }))
    }

    /// Whether the paths still lead there.
    pub(super) fn check(&self) -> Result<(), Displaced> {
        let displaced = self.0.iter().find(|(path, opened)| identity(path) != *opened);
        displaced.map_or(Ok(()), |(path, _)| Err(Displaced(path.clone())))
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The database is not where it was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} was deleted, moved or replaced while it was in use; put it back, or restart to go on with what is there now"
)]
pub(super) struct Displaced(PathBuf);
