//! Page views.

use std::sync::Arc;

use crate::batcher::{Batcher, Input};
use crate::error::StoreError;
use crate::kind::Description;
use crate::status::StatusReceiver;

/// The store of the page views. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct ViewStore {
    pub(crate) add: Batcher<View, i64>,
    pub(crate) status: StatusReceiver,
    pub(crate) description: Arc<Description>,
}

impl ViewStore {
    /// Counts one page view, and answers with the count that it made.
    pub async fn add(&self) -> Result<i64, StoreError> {
        self.add.submit(View::Counted).await
    }

    /// How many there were, without counting one.
    pub async fn read(&self) -> Result<i64, StoreError> {
        self.add.submit(View::Read).await
    }

    /// How the store is.
    pub fn status(&self) -> StatusReceiver {
        self.status.clone()
    }

    /// The store as traces show it.
    pub fn description(&self) -> &Description {
        &self.description
    }
}

/// What is wanted of the page views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// One more of them.
    Counted,
    /// Their number.
    Read,
}

impl Input for View {
    /// A view that is sent twice may be counted twice.
    fn is_repeatable(&self) -> bool {
        *self == Self::Read
    }
}

/// The outputs of a batch whose views were added in one step, when all of them together made the count `after`. Reads get that
/// count.
pub(crate) fn outputs(batch: &[View], after: i64) -> Vec<Result<i64, StoreError>> {
    let mut count = after - counted(batch);
    let output = |view: &View| match view {
        View::Counted => {
            count += 1;
            Ok(count)
        }
        View::Read => Ok(after),
    };
    batch.iter().map(output).collect()
}

/// How many views of a batch are to be counted. If there are none, the store need not write.
pub(crate) fn counted(batch: &[View]) -> i64 {
    let views = batch.iter().filter(|view| **view == View::Counted).count();
    i64::try_from(views).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_has_its_own_count() {
        let batch = [View::Counted, View::Read, View::Counted, View::Counted];
        let counts: Vec<i64> = outputs(&batch, 103).into_iter().map(Result::unwrap).collect();
        assert_eq!(counts, [101, 103, 102, 103]);
    }
}
