//! A visitor with a real browser.

use std::time::Duration;

use testbed::{Program, Running};

use crate::docker::{provided, root};
use crate::stack::Stack;

/// Longer than visitor.js waits (60 s), so that a failure says what it waited for; and a browser has to start before.
const LIMIT: Duration = Duration::from_mins(2);

/// A visitor who keeps the page open. What they do and see is in visitor.js.
pub(crate) struct Visitor(Running);

impl Visitor {
    /// Opens the page and votes.
    #[track_caller]
    pub(crate) fn votes(stack: &Stack) -> Self {
        let script = root().join("crates/e2e/tests/mesh/visitor.js");
        let node = Program::new(provided("YELB_NODE")).env("CHROMIUM", provided("CHROMIUM"));
        let visitor = node.arg(script).arg(format!("http://{}", stack.page())).spawn();
        visitor.wait_for_line(|line| line == "voted", LIMIT);
        Self(visitor)
    }

    /// What the page says once its totals are no longer fresh.
    #[track_caller]
    pub(crate) fn is_told(&self) -> String {
        let line = self.0.wait_for_line(|line| line.starts_with("told: "), LIMIT);
        line["told: ".len()..].to_owned()
    }

    /// Waits until the totals are fresh again, and until another vote is counted.
    #[track_caller]
    pub(crate) fn votes_again(self) {
        self.0.wait_for_line(|line| line == "voted again", LIMIT);
        let status = self.0.wait(LIMIT);
        assert!(status.success(), "{:?}", self.0);
    }
}
