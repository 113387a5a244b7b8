//! If the votes for one restaurant are refused, those for others are still counted.
//!
//! A batch is one statement, which the server does as a whole or not at all. A row that is locked, or that a constraint, a
//! trigger or the range of its type does not let change, would refuse everything that shares a batch with it. So if a batch is
//! refused, its votes are counted again in parts.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::time::Instant;

use super::record;
use super::session::BatchSession;
use crate::batcher::{BATCH_LIMIT, Outputs};
use crate::error::StoreError;
use crate::votes::{self, Recorded, Vote, VoteBatch};

/// What is left of a batch's time for its answer to travel.
const MARGIN: Duration = Duration::from_millis(200);
/// A part that would have less is not begun.
const SHORTEST: Duration = Duration::from_millis(20);

/// Counts a batch as a whole, or what can be counted of it.
pub(super) async fn settle(
    session: &mut BatchSession,
    names: &[&'static str],
    votes: &[Vote],
) -> Outputs<Recorded> {
    let end = Instant::now() + BATCH_LIMIT - MARGIN;
    match count(session, names, votes, None).await {
        Err(refusal @ StoreError::Refused { .. }) => {
            let parts = votes::parts(votes);
            if parts.len() == 1 {
                return Err(refusal);
            }
            count_parts(session, names, votes, parts, end, &refusal).await
        }
        outcome => outcome,
    }
}

/// Counts one part after the other. Each may take a quarter of the time that is left, however many they are.
async fn count_parts(
    session: &mut BatchSession,
    names: &[&'static str],
    votes: &[Vote],
    parts: Vec<Vec<usize>>,
    end: Instant,
    refusal: &StoreError,
) -> Outputs<Recorded> {
    let mut outputs = vec![Err(refusal.clone()); votes.len()];
    for places in parts {
        let now = Instant::now();
        let share = end.duration_since(now) / 4;
        if share < SHORTEST {
            continue;
        }
        let part: Vec<Vote> = places.iter().map(|&place| votes[place].clone()).collect();
        let counted = match count(session, names, &part, Some(now + share)).await {
            Err(refusal @ StoreError::Refused { .. }) => vec![Err(refusal); part.len()],
            counted => counted?,
        };
        for (place, output) in places.into_iter().zip(counted) {
            outputs[place] = output;
        }
    }
    // A server that takes nothing at all may have become read-only: then its session is left.
    if outputs.iter().all(Result::is_err) { Err(refusal.clone()) } else { Ok(outputs) }
}

async fn count(
    session: &mut BatchSession,
    names: &[&'static str],
    votes: &[Vote],
    end: Option<Instant>,
) -> Outputs<Recorded> {
    let batch = VoteBatch::new(names, votes);
    match record::record(session, &batch, end).await {
        Ok(counted) => Ok(batch.outputs(&counted)),
        Err(error) if is_refusal(&error) => Err(StoreError::refused("count votes")(error)),
        Err(error) => Err(StoreError::doing("count votes")(error)),
    }
}

/// Whether nothing of the statement is done: the server has refused it, which ends its transaction, or has not found a row.
fn is_refusal(error: &sqlx::Error) -> bool {
    let database = error.as_database_error().and_then(|it| it.try_downcast_ref());
    match database {
        Some(error) => is_certain(error),
        None => matches!(error, sqlx::Error::RowNotFound),
    }
}

/// What ends a session may come after a commit. It may also be what a pooler makes of a connection that it has lost
/// (`connection_exception`, `operator_intervention` but for a cancelled statement), and one code says that it does not know
/// (`statement_completion_unknown`).
fn is_certain(error: &PgDatabaseError) -> bool {
    let unknown = ["08", "57P", "40003"];
    error.severity() == PgSeverity::Error
        && !unknown.iter().any(|class| error.code().starts_with(class))
}
