//! Old keys are forgotten a table at a time.
//!
//! Two tables take turns. Every statement with keys looks into both and writes to the one that has the turn. When that one
//! has taken keys for as long as they are to be kept, all keys of the other are older: it is emptied, and has the turn.
//!
//! A key is counted once also while the turn changes. To empty a table takes a lock that excludes every statement with keys
//! until the turn has changed: those before it have ended, and a later one, which takes its snapshot after its locks, sees
//! what they have written.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::error::StoreError;

/// Votes with a key queue behind one that waits for the lock; another client, such as a backup, may hold it for long.
const BEGIN: &str = "begin isolation level read committed; set local lock_timeout = '250ms'";

/// Empties the table whose keys have been kept for so long, and gives it the turn, unless it is too early.
pub(super) async fn forget_old(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<(), StoreError> {
    match change_turn(connection, kept).await {
        Ok(None) => {}
        Ok(Some(table)) => tracing::info!(table, "old vote keys are forgotten"),
        Err(error) if is_locked(&error) => {
            tracing::debug!(
                "another client uses the table of the old vote keys; they stay for now"
            );
        }
        Err(error) => return Err(StoreError::doing("forget old vote keys")(error)),
    }
    Ok(())
}

/// Answers with the table that was emptied. Another app server may be at it: then there is nothing to do.
async fn change_turn(
    connection: &mut PgConnection,
    kept: Duration,
) -> Result<Option<&'static str>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let seconds = kept.as_secs();
    // As plain messages, which need no prepared statement: a pooler may give each to another session.
    let due = AssertSqlSafe(format!(
        "select second from vote_keys_turn
         where id = 1 and since < clock_timestamp() - interval '{seconds} seconds' for update skip locked"
    ));
    let Some(row) = sqlx::raw_sql(due).fetch_optional(&mut *transaction).await? else {
        return Ok(None);
    };
    let (table, change) = if row.try_get(0)? {
        (
            "vote_keys",
            "truncate vote_keys; update vote_keys_turn set second = false, since = clock_timestamp()",
        )
    } else {
        (
            "vote_keys_2",
            "truncate vote_keys_2; update vote_keys_turn set second = true, since = clock_timestamp()",
        )
    };
    sqlx::raw_sql(change).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(table))
}

/// `lock_not_available`
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("55P03")
}
