//! Old keys are forgotten a table at a time.
//!
//! Two tables take turns. Every statement with keys looks into both and writes to the one that has the turn. When that one
//! has taken keys for as long as they are to be kept, all keys of the other are older: it is emptied, and has the turn.
//!
//! A key is counted once also while the turn changes. To empty a table takes a lock that excludes every statement with keys
//! until the turn has changed: those before it have ended, and a later one, which takes its snapshot after its locks, sees
//! what they have written.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row, Transaction};
use tokio::time::sleep;

use crate::error::StoreError;
use crate::maintenance::SWEEP_PAUSE;

/// Votes with a key queue behind one that waits for the lock; another client, such as a backup, may hold it for long.
const BEGIN: &str = "begin isolation level read committed; set local lock_timeout = '250ms'";

/// How many keys one statement deletes.
const PART: u64 = 10_000;

/// One of the two tables.
#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    /// Gives it the turn.
    turn: &'static str,
    truncate: &'static str,
    /// Where the role may not truncate: deletes some keys, unless another app server has given it the turn meanwhile.
    delete: &'static str,
    /// And excludes every statement with keys, as `truncate` does, and answers whether there is still a key.
    lock: &'static str,
}

/// What the statements of both have in common.
macro_rules! table {
    ($name:literal, $second:literal, $other_has_turn:literal) => {
        Table {
            name: $name,
            turn: concat!(
                "update vote_keys_turn set second = ",
                $second,
                ", since = clock_timestamp()"
            ),
            truncate: concat!("truncate ", $name),
            delete: concat!(
                "delete from ",
                $name,
                " where ctid = any (array(select ctid from ",
                $name,
                " limit 10000))",
                " and exists (select from vote_keys_turn where ",
                $other_has_turn,
                ")"
            ),
            lock: concat!(
                "lock table ",
                $name,
                " in access exclusive mode; select exists (select from ",
                $name,
                ")"
            ),
        }
    };
}

const FIRST: Table = table!("vote_keys", "false", "second");
const SECOND: Table = table!("vote_keys_2", "true", "not second");

/// Empties the table whose keys have been kept for so long, and gives it the turn, unless it is too early.
pub(super) async fn forget_old(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<(), StoreError> {
    let mut changed = truncate(connection, kept).await;
    if changed.as_ref().is_err_and(is_forbidden) {
        changed = delete(connection, kept).await;
    }
    match changed {
        Ok(None) => Ok(()),
        Ok(Some(table)) => {
            tracing::info!(table = table.name, "old vote keys are forgotten");
            Ok(())
        }
        Err(error) if is_locked(&error) => {
            tracing::debug!(
                "another client uses the table of the old vote keys; they stay for now"
            );
            Ok(())
        }
        Err(error) if is_forbidden(&error) => Err(forbidden(&error)),
        Err(error) => Err(StoreError::doing("forget old vote keys")(error)),
    }
}

fn forbidden(error: &sqlx::Error) -> StoreError {
    let reason = error.as_database_error().map_or_else(String::new, |it| it.message().to_owned());
    StoreError::NotReady(format!(
        "{reason}; grant truncate (or delete) on vote_keys and vote_keys_2, and update on vote_keys_turn, to the role of the app server"
    ))
}

/// Answers with the table that was emptied.
async fn truncate(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let Some(table) = due(&mut transaction, kept).await? else { return Ok(None) };
    sqlx::raw_sql(table.truncate).execute(&mut *transaction).await?;
    give_turn(transaction, table).await.map(Some)
}

/// The same for a role that may delete, but not truncate. The database uses the space again for later keys.
async fn delete(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let found = due(&mut transaction, kept).await?;
    transaction.rollback().await?;
    let Some(table) = found else { return Ok(None) };
    // Nothing is written to it until its turn, so that no lock is needed yet.
    while sqlx::raw_sql(table.delete).execute(&mut *connection).await?.rows_affected() == PART {
        sleep(SWEEP_PAUSE).await;
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    // Another app server may have been faster.
    let Some(table) = due(&mut transaction, kept).await? else { return Ok(None) };
    let row = sqlx::raw_sql(table.lock).fetch_one(&mut *transaction).await?;
    if row.try_get(0)? {
        return Ok(None);
    }
    give_turn(transaction, table).await.map(Some)
}

/// The table whose keys are too old. Another app server may be at it: then there is nothing to do.
async fn due(
    transaction: &mut Transaction<'_, Postgres>,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let seconds = kept.as_secs();
    // As plain messages, which need no prepared statement: a pooler may give each to another session.
    let due = AssertSqlSafe(format!(
        "select second from vote_keys_turn
         where id = 1 and since < clock_timestamp() - interval '{seconds} seconds' for update skip locked"
    ));
    let row = sqlx::raw_sql(due).fetch_optional(&mut **transaction).await?;
    let is_second = row.map(|row| row.try_get(0)).transpose()?;
    Ok(is_second.map(|is_second| if is_second { FIRST } else { SECOND }))
}

async fn give_turn(
    mut transaction: Transaction<'_, Postgres>,
    table: Table,
) -> Result<Table, sqlx::Error> {
    sqlx::raw_sql(table.turn).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(table)
}

/// `lock_not_available`
fn is_locked(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

/// `insufficient_privilege`
fn is_forbidden(error: &sqlx::Error) -> bool {
    has_code(error, "42501")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}
