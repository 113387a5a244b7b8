//! Counting a batch of votes: one transaction, or, where something in it is refused, one for each part.
//!
//! If a constraint, a trigger or the range of a count refuses the votes for one restaurant, those for others are still counted.

use std::time::Duration;

use sqlx::{Connection, Database, Sqlite, SqliteConnection};
use sqlx_core::transaction::TransactionManager;
use tokio::time::Instant;

use super::BEGIN;
use super::file::primary_code;
use crate::batcher::Outputs;
use crate::error::StoreError;
use crate::votes::{self, CountedBatch, Recorded, Vote, VoteBatch};

/// When the last part may begin: if another process writes to the file then, it still ends within the batch's time.
const LATEST_PART: Duration = Duration::from_millis(400);

/// SQLite's result codes for what a row, or a trigger on it, does not permit (`SQLITE_ERROR`, `SQLITE_CONSTRAINT`).
const OF_A_ROW: [u32; 2] = [1, 19];

type Transactions = <Sqlite as Database>::TransactionManager;

/// What became of votes that were counted together: the error is why none of them is.
type Together = Result<Vec<Result<Recorded, StoreError>>, sqlx::Error>;

/// Counts a batch as a whole, or what can be counted of it.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    names: &[&'static str],
    votes: &[Vote],
) -> Outputs<Recorded> {
    let latest = Instant::now() + LATEST_PART;
    let reason = match together(connection, names, votes).await? {
        Ok(outputs) => return Ok(outputs),
        Err(reason) => reason,
    };
    let parts = if is_of_a_row(&reason) { votes::parts(votes) } else { Vec::new() };
    let refusal = refused(reason);
    if parts.len() < 2 {
        return Err(refusal);
    }
    let mut outputs = vec![Err(refusal); votes.len()];
    for places in parts {
        if latest < Instant::now() {
            break;
        }
        let part: Vec<Vote> = places.iter().map(|&place| votes[place].clone()).collect();
        let counted = match together(connection, names, &part).await {
            Ok(Ok(counted)) => counted,
            Ok(Err(reason)) => vec![Err(refused(reason)); part.len()],
            Err(error) => vec![Err(error); part.len()],
        };
        for (place, output) in places.into_iter().zip(counted) {
            outputs[place] = output;
        }
    }
    Ok(outputs)
}

/// Counts votes in one transaction.
async fn together(
    connection: &mut SqliteConnection,
    names: &[&'static str],
    votes: &[Vote],
) -> Result<Together, StoreError> {
    let batch = VoteBatch::new(names, votes);
    forget_ended(connection).await.map_err(refused)?;
    let mut transaction = connection.begin_with(BEGIN).await.map_err(refused)?;
    let counted = match count(&mut transaction, &batch).await {
        Ok(counted) => counted,
        Err(reason) => return Ok(Err(reason)),
    };
    transaction.commit().await.map_err(StoreError::doing("count votes"))?;
    Ok(Ok(batch.outputs(&counted)))
}

/// SQLite ends a transaction by itself if a trigger says so, or if the disk is full. Then the rollback of the driver fails, and
/// it goes on to count a transaction, in which it begins no other.
async fn forget_ended(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    if Transactions::get_transaction_depth(connection) == 0 {
        return Ok(());
    }
    // A rollback may be on its way.
    connection.ping().await?;
    if Transactions::get_transaction_depth(connection) > 0 {
        // One for the driver to roll back, unless there is one.
        let _ = sqlx::raw_sql("begin").execute(&mut *connection).await;
        Transactions::rollback(connection).await?;
    }
    Ok(())
}

fn refused(reason: sqlx::Error) -> StoreError {
    StoreError::refused("count votes")(reason)
}

/// Whether votes for other restaurants may be counted. A trigger that ignores an update leaves no row to read the count from.
fn is_of_a_row(reason: &sqlx::Error) -> bool {
    let code = primary_code(reason);
    code.is_some_and(|code| OF_A_ROW.contains(&code)) || matches!(reason, sqlx::Error::RowNotFound)
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
