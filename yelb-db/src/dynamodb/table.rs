//! A table of counts: an item has a name, which is the table's key, and a count.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue};
use tokio::time::sleep;

use crate::error::StoreError;

/// How many items one request may read (API reference of `BatchGetItem`).
const MOST_READ: usize = 100;
/// How often something is tried that only other app servers prevent. At a pause of 1 to 25 ms the batch's limit comes first.
pub(super) const TRIES: usize = 100;

/// The names of a table's attributes.
#[derive(Debug)]
pub(super) struct Layout {
    /// The name of an item; the table's key.
    pub(super) key: &'static str,
    /// Its count.
    pub(super) count: &'static str,
    /// When an item may be cleared away, in seconds since 1970. Items without it stay.
    pub(super) expires: Option<&'static str>,
}

/// A table, and the client to ask it with. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
    pub(super) layout: &'static Layout,
    /// For how long a vote's key is known.
    pub(super) keys_kept: Duration,
}

impl Table {
    /// Adds to a count, atomically, and answers with the count after it. A missing item is made.
    pub(super) async fn add(
        &self,
        item: &str,
        by: i64,
        doing: &'static str,
    ) -> Result<i64, StoreError> {
        for _ in 1..TRIES {
            let added = self
                .client
                .update_item()
                .table_name(&*self.name)
                .key(self.layout.key, text(item))
                .update_expression("ADD #count :by")
                .expression_attribute_names("#count", self.layout.count)
                .expression_attribute_values(":by", number(by))
                .return_values(ReturnValue::UpdatedNew)
                .send()
                .await;
            match added {
                Ok(added) => {
                    let attributes = added.attributes.unwrap_or_default();
                    return self.layout.count_of(item, &attributes);
                }
                // Refused because of a transaction on the same item: nothing was added.
                Err(error) if is_conflict(error.as_service_error()) => pause().await,
                // What is there is no number.
                Err(error) if error.code() == Some("ValidationException") => {
                    return Err(StoreError::refused(doing)(error));
                }
                Err(error) => return Err(StoreError::doing(doing)(error)),
            }
        }
        Err(StoreError::doing(doing)(Contended))
    }

    /// The items of these names that exist, and their counts, with everything that was confirmed before.
    pub(super) async fn read(
        &self,
        items: &[&str],
        doing: &'static str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        self.try_read(items).await.map_err(|error| match error.downcast::<StoreError>() {
            Ok(error) => *error,
            Err(error) => StoreError::doing(doing)(error),
        })
    }

    async fn try_read(
        &self,
        items: &[&str],
    ) -> Result<Vec<(String, i64)>, Box<dyn Error + Send + Sync>> {
        let layout = self.layout;
        let mut found = Vec::new();
        for part in items.chunks(MOST_READ) {
            let keys = part.iter().map(|item| HashMap::from([(layout.key.to_owned(), text(item))]));
            let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect()));
            let wanted = keys.consistent_read(true).build()?;
            let read = self.client.batch_get_item().request_items(&*self.name, wanted);
            let answer = read.send().await?;
            if answer.unprocessed_keys().is_some_and(|rest| !rest.is_empty()) {
                return Err(Throttled.into());
            }
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let name = item.get(layout.key).and_then(|name| name.as_s().ok()).cloned();
                let name = name.unwrap_or_default();
                let count = layout.count_of(&name, &item)?;
                found.push((name, count));
            }
        }
        Ok(found)
    }
}

impl Layout {
    /// The count among the attributes of an item.
    pub(super) fn count_of(
        &self,
        item: &str,
        attributes: &HashMap<String, AttributeValue>,
    ) -> Result<i64, StoreError> {
        let count = match attributes.get(self.count) {
            None => Some(0),
            Some(count) => count.as_n().ok().and_then(|count| count.parse().ok()),
        };
        count.ok_or_else(|| {
            let odd = NotACount { item: item.to_owned(), attribute: self.count };
            StoreError::refused("read a count")(odd)
        })
    }
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn is_conflict(error: Option<&UpdateItemError>) -> bool {
    error.is_some_and(UpdateItemError::is_transaction_conflict_exception)
}

/// Two app servers whose transactions conflict try again, at different times.
pub(super) fn pause() -> impl Future<Output = ()> {
    // A new state is random: no other source of randomness is needed.
    let millis = 1 + RandomState::new().hash_one(()) % 25;
    sleep(Duration::from_millis(millis))
}

/// Other app servers changed the item before each attempt.
#[derive(Debug, thiserror::Error)]
#[error("other app servers were first, {TRIES} times")]
pub(super) struct Contended;

/// The table has less capacity than it needs.
#[derive(Debug, thiserror::Error)]
#[error("the table's capacity is exceeded")]
struct Throttled;

#[derive(Debug, thiserror::Error)]
#[error("`{attribute}` of `{item}` is not a whole number")]
pub(super) struct NotACount {
    item: String,
    attribute: &'static str,
}
