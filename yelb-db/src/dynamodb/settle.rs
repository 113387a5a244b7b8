//! If one item cannot be written, votes for other restaurants are still counted.
//!
//! Votes without a key are added to each item by itself. Votes with a key are counted together in a transaction, which is
//! cancelled as a whole if one of its items cannot be written to: then those for each restaurant are counted by themselves.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;
use futures_util::future::join_all;

use super::record;
use super::table::{NotACount, Table};
use crate::batcher::Outputs;
use crate::error::StoreError;
use crate::votes::{self, Recorded, Vote, VoteBatch};

/// Counts a batch, or what can be counted of it.
pub(super) async fn settle(
    table: &Table,
    names: &[&'static str],
    votes: &[Vote],
) -> Outputs<Recorded> {
    let is_keyed = |part: &Vec<usize>| votes[part[0]].key.is_some();
    let (keyed, plain): (Vec<_>, Vec<_>) = votes::parts(votes).into_iter().partition(is_keyed);
    let count = async |places: Vec<usize>| {
        let part: Vec<Vote> = places.iter().map(|&place| votes[place].clone()).collect();
        (places, count(table, names, &part).await)
    };
    let mut counted = join_all(plain.into_iter().map(count)).await;
    if !keyed.is_empty() {
        match count(keyed.concat()).await {
            (_, Err(error)) if keyed.len() > 1 && is_of_an_item(&error) => {
                counted.extend(join_all(keyed.into_iter().map(count)).await);
            }
            together => counted.push(together),
        }
    }
    in_order(counted)
}

async fn count(table: &Table, names: &[&'static str], votes: &[Vote]) -> Outputs<Recorded> {
    let batch = VoteBatch::new(names, votes);
    let counted = record::record(table, &batch).await?;
    Ok(batch.outputs(&counted))
}

/// The outputs of all votes, from those of the parts and their places. If all failed it is the error of the batch, after which
/// the service is asked whether it is there.
fn in_order(parts: Vec<(Vec<usize>, Outputs<Recorded>)>) -> Outputs<Recorded> {
    if parts.iter().all(|(_, outputs)| outputs.is_err())
        && let Some(error) = parts.iter().find_map(|(_, outputs)| outputs.as_ref().err())
    {
        return Err(error.clone());
    }
    let mut outputs: Vec<_> = parts
        .into_iter()
        .flat_map(|(places, outputs)| {
            let outputs = outputs.unwrap_or_else(|error| vec![Err(error); places.len()]);
            places.into_iter().zip(outputs)
        })
        .collect();
    outputs.sort_by_key(|(place, _)| *place);
    Ok(outputs.into_iter().map(|(_, output)| output).collect())
}

/// Whether nothing was done, because of one item: a transaction was cancelled, or a count could not be read.
fn is_of_an_item(error: &StoreError) -> bool {
    let (StoreError::Refused { source, .. } | StoreError::Failed { source, .. }) = error else {
        return false;
    };
    let transaction = source.downcast_ref::<SdkError<TransactWriteItemsError>>();
    let reasons = match transaction.and_then(SdkError::as_service_error) {
        Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
            it.cancellation_reasons()
        }
        _ => &[],
    };
    // Of the other reasons, more transactions would not get rid: a table that is throttled refuses them, too.
    let is_invalid = |reason: &CancellationReason| reason.code() == Some("ValidationError");
    source.is::<NotACount>() || reasons.iter().any(is_invalid)
}
