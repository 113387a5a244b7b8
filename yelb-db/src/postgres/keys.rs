//! Deletes old vote keys, by emptying one of two tables.
//!
//! Two tables take turns. Every statement with keys reads both tables and writes to the table whose turn it is. When a table
//! has had its turn for the time that keys are kept, all keys in the other table are older. Then the other table is emptied,
//! and it is its turn.
//!
//! A key is counted once while the turn changes, too. The transaction that empties a table locks it first. It waits until
//! earlier statements with keys have ended. Later ones wait until the turn has changed; they take their snapshot after their
//! locks, so they see all keys that earlier statements wrote.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row, Transaction};
use tokio::time::sleep;

use crate::error::StoreError;
use crate::maintenance::SWEEP_PAUSE;

/// While this transaction waits for its lock, votes with a key wait behind it. Another client, such as a backup, may hold the
/// lock for a long time.
const BEGIN: &str = "begin isolation level read committed; set local lock_timeout = '250ms'";

/// How many keys one statement deletes.
const PART: u64 = 10_000;

/// One of the two tables.
#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    /// The statement that makes it this table's turn.
    turn: &'static str,
    truncate: &'static str,
    /// For a role that may not truncate: deletes up to 10,000 keys, unless another app server has made it this table's turn
    /// meanwhile.
    delete: &'static str,
    /// For the same role: takes the lock that `truncate` takes, and returns whether the table still has a key.
    lock: &'static str,
}

/// Makes a [`Table`]: the statements of both tables differ only in names.
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

/// If the other table's keys are older than `kept`, empties that table and makes it its turn.
pub(super) async fn delete_old(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<(), StoreError> {
    let changed = match may_truncate(connection).await {
        Ok(true) => truncate(connection, kept).await,
        Ok(false) => delete(connection, kept).await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(None) => Ok(()),
        Ok(Some(table)) => {
            tracing::info!(table = table.name, "old vote keys are deleted");
            Ok(())
        }
        Err(error) if is_locked(&error) => {
            tracing::debug!(
                "old vote keys are not deleted: another client uses their table; the next sweep tries again"
            );
            Ok(())
        }
        Err(error) if is_forbidden(&error) => Err(forbidden(&error)),
        Err(error) => Err(StoreError::doing("delete old vote keys")(error)),
    }
}

fn forbidden(error: &sqlx::Error) -> StoreError {
    let reason = error.as_database_error().map_or_else(String::new, |it| it.message().to_owned());
    StoreError::NotReady(format!(
        "{reason}; grant truncate (or delete) on vote_keys and vote_keys_2, and update on vote_keys_turn, to the role of the app server"
    ))
}

/// Asked before, because PostgreSQL 10 refuses `truncate` only after it has waited for the lock.
async fn may_truncate(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const QUESTION: &str = "select bool_and(has_table_privilege(name, 'truncate'))
        from (values ('vote_keys'), ('vote_keys_2')) as tables (name)";
    sqlx::raw_sql(QUESTION).fetch_one(connection).await?.try_get(0)
}

/// Empties the table with old keys by `truncate`. Returns the table, or `None` if nothing was due.
async fn truncate(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let Some(table) = due(&mut transaction, kept).await? else { return Ok(None) };
    sqlx::raw_sql(table.truncate).execute(&mut *transaction).await?;
    give_turn(transaction, table).await.map(Some)
}

/// As [`truncate`], for a role that may delete but not truncate. The database uses the freed space for later keys.
async fn delete(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let found = due(&mut transaction, kept).await?;
    transaction.rollback().await?;
    let Some(table) = found else { return Ok(None) };
    // No statement writes to this table before its turn, so the deletes need no lock.
    while sqlx::raw_sql(table.delete).execute(&mut *connection).await?.rows_affected() == PART {
        sleep(SWEEP_PAUSE).await;
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    // Another app server may have emptied the table meanwhile.
    let Some(table) = due(&mut transaction, kept).await? else { return Ok(None) };
    let row = sqlx::raw_sql(table.lock).fetch_one(&mut *transaction).await?;
    if row.try_get(0)? {
        return Ok(None);
    }
    give_turn(transaction, table).await.map(Some)
}

/// The table with old keys, if it must be emptied now. `None` if another app server is emptying it.
async fn due(
    transaction: &mut Transaction<'_, Postgres>,
    kept: Duration,
) -> Result<Option<Table>, sqlx::Error> {
    let seconds = kept.as_secs();
    // Sent without a prepared statement: a pooler may send each statement to another session.
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

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}
