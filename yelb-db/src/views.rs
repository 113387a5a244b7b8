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
        self.add.submit(View).await
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

/// One page view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View;

impl Input for View {
    /// Sent twice, it may be counted twice.
    fn is_repeatable(&self) -> bool {
        false
    }
}

/// The outputs of so many views that were added in one step, when all of them together made the count `after`.
pub(crate) fn outputs(views: usize, after: i64) -> Vec<Result<i64, StoreError>> {
    let before = after - count(views);
    (1..=views).map(|position| Ok(before + count(position))).collect()
}

/// So many views as a store counts them.
pub(crate) fn count(views: usize) -> i64 {
    i64::try_from(views).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_has_its_own_count() {
        let counts: Vec<i64> = outputs(3, 103).into_iter().map(Result::unwrap).collect();
        assert_eq!(counts, [101, 102, 103]);
    }
}
