//! Counting a batch of votes.
//!
//! Votes without a key are added, each restaurant's in one request. Votes with a key are counted and remembered in one
//! transaction. A transaction does not return the new counts. So it has conditions: the counts are those that were read, and
//! none of the keys exists. If a condition fails, DynamoDB writes nothing, and the answer has the current items, from which the
//! next attempt starts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use futures_util::future::join_all;

use super::table::{Contended, TRIES, Table, number, pause, text};
use crate::error::StoreError;
use crate::votes::{CountedBatch, VoteBatch};

/// How many items one transaction may write (API reference of `TransactWriteItems`).
const MOST_WRITTEN: usize = 100;
/// What the name of a key's item begins with, which no restaurant's does.
const KEY_PREFIX: &str = "vote-key#";
/// The restaurant that the vote of a key was for, and the count after it.
const VOTED_FOR: &str = "restaurant";
const MADE: &str = "made";

const DOING: &str = "count votes";

/// The key of a vote, and the name of the item that it is for.
type KeyedVote<'a> = (&'a str, &'static str);

/// Counts a batch. Missing items are made.
pub(super) async fn record(
    table: &Table,
    batch: &VoteBatch<'_>,
) -> Result<CountedBatch, StoreError> {
    let before = add_plain(table, &batch.plain).await?;
    let mut keyed = Vec::with_capacity(batch.keyed.len());
    for votes in batch.keyed.chunks(keys_at_once(&batch.keyed)) {
        keyed.extend(Transaction::new(table, votes).run().await?);
    }
    Ok(CountedBatch { before, keyed })
}

/// How many votes with a key fit into a transaction beside the items they are for.
fn keys_at_once(votes: &[KeyedVote<'_>]) -> usize {
    let names: BTreeSet<&str> = votes.iter().map(|(_, name)| *name).collect();
    // With fewer keys than that, there are no more items than keys.
    MOST_WRITTEN.saturating_sub(names.len()).max(MOST_WRITTEN / 2)
}

/// Each item by itself. [`super::settle`] asks for one at a time, because the others are counted if one fails.
async fn add_plain(table: &Table, votes: &[(&str, i64)]) -> Result<Vec<i64>, StoreError> {
    let adding = votes
        .iter()
        .map(async |(name, votes)| table.add(name, *votes, DOING).await.map(|count| count - votes));
    join_all(adding).await.into_iter().collect()
}

/// Votes with a key that are counted together.
struct Transaction<'a> {
    table: &'a Table,
    votes: &'a [KeyedVote<'a>],
    /// What each vote's key was found to stand for.
    known: HashMap<usize, (String, i64)>,
    /// What is believed to be the count of each restaurant, `None` being an item that has none.
    counts: BTreeMap<&'a str, Option<i64>>,
}

/// The writes of one try, and what they are about, in the order of the request.
#[derive(Default)]
struct Writes<'a> {
    requests: Vec<TransactWriteItem>,
    subjects: Vec<Subject<'a>>,
    /// What each new vote makes.
    made: HashMap<usize, i64>,
}

#[derive(Clone, Copy)]
enum Subject<'a> {
    Restaurant(&'a str),
    Key(usize),
}

impl<'a> Transaction<'a> {
    fn new(table: &'a Table, votes: &'a [KeyedVote<'a>]) -> Self {
        Self { table, votes, known: HashMap::new(), counts: BTreeMap::new() }
    }

    /// For each vote: its restaurant, and the count after it, from now or from the first vote with its key.
    async fn run(mut self) -> Result<Vec<(String, i64)>, StoreError> {
        self.read_counts().await?;
        for _ in 0..TRIES {
            let writes = self.writes().map_err(StoreError::doing(DOING))?;
            if writes.made.is_empty() {
                return Ok(self.answers(&writes));
            }
            match send(&self.table.client, &writes).await {
                Ok(()) => return Ok(self.answers(&writes)),
                Err(error) => {
                    if self.learn(error, &writes)? {
                        pause().await;
                    }
                }
            }
        }
        Err(StoreError::doing(DOING)(Contended))
    }

    async fn read_counts(&mut self) -> Result<(), StoreError> {
        self.counts = self.votes.iter().map(|(_, name)| (*name, None)).collect();
        let names: Vec<&str> = self.counts.keys().copied().collect();
        for (name, count) in self.table.read(&names, DOING).await? {
            if let Some(known) = self.counts.get_mut(&*name) {
                *known = Some(count);
            }
        }
        Ok(())
    }

    /// Counts every vote whose key is not known.
    fn writes(&self) -> Result<Writes<'a>, BuildError> {
        let mut writes = Writes::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut counts: BTreeMap<&str, i64> =
            self.counts.iter().map(|(name, count)| (*name, count.unwrap_or(0))).collect();
        for (index, (key, name)) in self.votes.iter().enumerate() {
            let fresh = !self.known.contains_key(&index);
            if let Some(count) = counts.get_mut(name).filter(|_| fresh) {
                *count += 1;
                writes.made.insert(index, *count);
                writes.subjects.push(Subject::Key(index));
                writes.requests.push(self.remember(key, name, *count, now)?);
            }
        }
        for (name, count) in counts {
            let before = self.counts[name];
            if count > before.unwrap_or(0) {
                writes.subjects.push(Subject::Restaurant(name));
                writes.requests.push(self.add(name, before, count)?);
            }
        }
        Ok(writes)
    }

    /// Adds to a restaurant's count, if it is `before`.
    fn add(
        &self,
        name: &str,
        before: Option<i64>,
        after: i64,
    ) -> Result<TransactWriteItem, BuildError> {
        let layout = self.table.layout;
        let votes = after - before.unwrap_or(0);
        let update = Update::builder()
            .table_name(&*self.table.name)
            .key(layout.key, text(name))
            .update_expression("ADD #count :votes")
            .expression_attribute_names("#count", layout.count)
            .expression_attribute_values(":votes", number(votes));
        let update = match before {
            None => update.condition_expression("attribute_not_exists(#count)"),
            Some(before) => update
                .condition_expression("#count = :before")
                .expression_attribute_values(":before", number(before)),
        };
        let update = update
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    }

    /// Remembers a key, if it is not remembered. DynamoDB clears items away some time after they expire, so one
    /// that has expired may still be there.
    fn remember(
        &self,
        key: &str,
        name: &str,
        made: i64,
        now: Duration,
    ) -> Result<TransactWriteItem, BuildError> {
        let layout = self.table.layout;
        let expires = layout.expires.unwrap_or("expires");
        let put = Put::builder()
            .table_name(&*self.table.name)
            .item(layout.key, text(&format!("{KEY_PREFIX}{key}")))
            .item(VOTED_FOR, text(name))
            .item(MADE, number(made))
            .item(expires, seconds(now + self.table.keys_kept))
            .condition_expression("attribute_not_exists(#key) OR #expires < :now")
            .expression_attribute_names("#key", layout.key)
            .expression_attribute_names("#expires", expires)
            .expression_attribute_values(":now", seconds(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    /// Takes from a transaction that was not done what was there instead of what it expected, and says whether others are
    /// busy with the same items. Every other failure is one.
    fn learn(
        &mut self,
        error: SdkError<TransactWriteItemsError>,
        writes: &Writes<'a>,
    ) -> Result<bool, StoreError> {
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                cancelled.cancellation_reasons().to_vec()
            }
            _ => return Err(StoreError::doing(DOING)(error)),
        };
        let mut busy = false;
        for (subject, reason) in writes.subjects.iter().zip(&reasons) {
            match reason.code() {
                Some("ConditionalCheckFailed") => busy |= self.correct(*subject, reason)?,
                Some("TransactionConflict") => busy = true,
                None | Some("None") => {}
                Some(_) => return Err(StoreError::doing(DOING)(error)),
            }
        }
        Ok(busy)
    }

    /// Whether others count the same restaurant.
    fn correct(
        &mut self,
        subject: Subject<'a>,
        reason: &CancellationReason,
    ) -> Result<bool, StoreError> {
        let item = reason.item();
        match subject {
            Subject::Restaurant(name) => {
                let count = item.filter(|item| item.contains_key(self.table.layout.count));
                let count = count.map(|item| self.table.layout.count_of(name, item)).transpose()?;
                self.counts.insert(name, count);
                Ok(true)
            }
            Subject::Key(index) => {
                let found = item.and_then(remembered).ok_or(UnknownKey);
                let found = found.map_err(StoreError::doing("read a vote's key"))?;
                self.known.insert(index, found);
                Ok(false)
            }
        }
    }

    fn answers(&self, writes: &Writes<'a>) -> Vec<(String, i64)> {
        let answer = |(index, (_, name)): (usize, &KeyedVote<'_>)| {
            let made = || ((*name).to_owned(), writes.made.get(&index).copied().unwrap_or(0));
            self.known.get(&index).cloned().unwrap_or_else(made)
        };
        self.votes.iter().enumerate().map(answer).collect()
    }
}

async fn send(
    client: &Client,
    writes: &Writes<'_>,
) -> Result<(), SdkError<TransactWriteItemsError>> {
    let request = client.transact_write_items();
    request.set_transact_items(Some(writes.requests.clone())).send().await.map(drop)
}

fn remembered(item: &HashMap<String, AttributeValue>) -> Option<(String, i64)> {
    let restaurant = item.get(VOTED_FOR)?.as_s().ok()?.clone();
    Some((restaurant, item.get(MADE)?.as_n().ok()?.parse().ok()?))
}

fn seconds(since_1970: Duration) -> AttributeValue {
    AttributeValue::N(since_1970.as_secs().to_string())
}

/// An item has the name of a key and is none.
#[derive(Debug, thiserror::Error)]
#[error("its item does not say whom it was for, and which count it made")]
struct UnknownKey;
