//! A visitor with a real browser.

use testbed::{Program, Running};

use crate::docker::{provided, root};
use crate::stack::{Stack, TO_NOTICE};

/// A visitor who keeps the page open. What they do and see is in visitor.js.
pub(crate) struct Visitor(Running);

impl Visitor {
    /// Opens the page and votes.
    #[track_caller]
    pub(crate) fn votes(stack: &Stack) -> Self {
        let script = root().join("crates/e2e/tests/mesh/visitor.js");
        let node = Program::new(provided("YELB_NODE")).env("CHROMIUM", provided("CHROMIUM"));
        let visitor = node.arg(script).arg(format!("http://{}", stack.page())).spawn();
        visitor.wait_for_line(|line| line == "voted", TO_NOTICE);
        Self(visitor)
    }

    /// What the page says once its totals are no longer fresh.
    #[track_caller]
    pub(crate) fn is_told(&self) -> String {
        let line = self.0.wait_for_line(|line| line.starts_with("told: "), TO_NOTICE);
        line["told: ".len()..].to_owned()
    }

    /// Waits until the totals are fresh again, and until another vote is counted.
    #[track_caller]
    pub(crate) fn votes_again(self) {
        self.0.wait_for_line(|line| line == "voted again", TO_NOTICE);
        let status = self.0.wait(TO_NOTICE);
        assert!(status.success(), "{:?}", self.0);
    }
}
