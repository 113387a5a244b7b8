//! A load on a stack while a test does something to it.

use serde_json::Value;
use testbed::{Output, Program, Running, eventually};

use crate::stack::{Stack, TO_NOTICE};

/// Longer than any test takes: it is ended when the test has done what it wanted to.
const TIME: &str = "10m";

/// Votes with keys, each sent until it is confirmed, ten a second: to see what is lost, not how fast it is.
pub(crate) struct Load(Running);

impl Load {
    /// Begins it, and waits until the first votes are counted.
    #[track_caller]
    pub(crate) fn begin(stack: &Stack) -> Self {
        let before = stack.total().unwrap();
        let url = format!("http://{}", stack.page());
        let flags =
            ["--rate", "10", "--duration", TIME, "--retry", "--grace", "60s", "--verify", "--json"];
        let load = Self(Program::of_workspace("yelb").args(["load", &url]).args(flags).spawn());
        load.wait_for_votes(stack, before);
        load
    }

    /// Waits until votes have been counted since there were `before`.
    #[track_caller]
    pub(crate) fn wait_for_votes(&self, stack: &Stack, before: i64) {
        eventually(TO_NOTICE, "votes are counted", || {
            stack.total().is_some_and(|total| total >= before + 5)
        });
        assert!(self.0.is_running(), "{:?}", self.0);
    }

    /// Ends it. Every vote that was sent must have been acknowledged in the end, and counted once.
    #[track_caller]
    pub(crate) fn every_vote_was_counted_once(self) {
        self.0.interrupt();
        let status = self.0.wait(2 * TO_NOTICE);
        let output = Output { status, stdout: self.0.stdout(), stderr: self.0.stderr() };
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let verdict = |name: &str| report["verify"][name].as_i64().unwrap();
        assert!(verdict("acknowledged") > 0, "{report}");
        assert_eq!((verdict("lost"), verdict("duplicated")), (0, 0), "{report}");
        println!(
            "{} sent, {} acknowledged, {} counted; {} attempts failed",
            verdict("sent"),
            verdict("acknowledged"),
            verdict("counted"),
            report["failures"]
        );
    }
}
