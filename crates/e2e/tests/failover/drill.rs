//! `yelb load` while a store fails over, and how long the store was out.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use testbed::http::{self, Response};
use testbed::{Namespace, PATIENCE, Postgres, Program, Running, eventually};

use crate::DATABASE;

/// Each vote has a key and is sent again until it is confirmed. The load is ended by the test.
///
/// Few connections, so that the retries of an outage leave a small machine the time to log in to the store.
const FLAGS: &str = "--rate 20 --connections 8 --duration 1h --retry --grace 30s --verify --json";
/// How many votes are counted before the store fails over, and after.
const VOTES: i64 = 30;

/// A running `yelb load`.
pub(crate) struct Load {
    running: Running,
    network: Namespace,
    api: SocketAddr,
}

/// What became of its votes.
pub(crate) struct Outcome {
    /// Votes that were confirmed: all that were sent.
    pub(crate) confirmed: i64,
    pub(crate) failed_attempts: i64,
    /// The longest time from when a vote was due until it was confirmed, in milliseconds.
    longest_wait: f64,
}

/// How long a store was out.
pub(crate) struct Outage {
    /// From the kill until the store counted again.
    pub(crate) total: Duration,
    /// The part of it after the name had moved: the rest is the operator's.
    pub(crate) after_the_move: Duration,
}

impl Load {
    /// Begins it.
    pub(crate) fn begin(network: &Namespace, api: SocketAddr) -> Self {
        let load = Program::of_workspace("yelb").inside(network);
        let load = load.args(["load", &format!("http://{api}")]).args(FLAGS.split(' '));
        Self { running: load.spawn(), network: network.clone(), api }
    }

    /// Waits until more votes are counted than there were `before`.
    #[track_caller]
    pub(crate) fn wait_for_votes(&self, before: i64) {
        let votes = || total(&self.network.within(|| http::get(self.api, "/api/getvotes")));
        eventually(PATIENCE, "votes are counted", || votes() >= before + VOTES);
        assert!(self.running.is_running(), "{:?}", self.running);
    }

    /// Ends it. Each vote that it has sent must be confirmed, and counted once.
    #[track_caller]
    pub(crate) fn end(self) -> Outcome {
        self.running.interrupt();
        let status = self.running.wait(2 * PATIENCE);
        assert!(status.success(), "{:?}", self.running);
        let report: Value = serde_json::from_str(&self.running.stdout()).unwrap();
        let [sent, confirmed, lost, duplicated] = ["sent", "acknowledged", "lost", "duplicated"]
            .map(|name| report["verify"][name].as_i64().unwrap());
        assert_eq!((confirmed, lost, duplicated), (sent, 0, 0), "{report}");
        let failures = report["failures"].as_object().unwrap();
        Outcome {
            confirmed,
            failed_attempts: failures.values().filter_map(Value::as_i64).sum(),
            longest_wait: report["votes"]["latency_ms"]["max"].as_f64().unwrap(),
        }
    }
}

/// The votes in an answer of the app server; 0 if it has none.
pub(crate) fn total(list: &Response) -> i64 {
    let rows = list.json().as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["value"].as_i64()).sum()
}

/// The votes that a database has.
#[track_caller]
pub(crate) fn counted(postgres: &Postgres) -> i64 {
    postgres.sql(DATABASE, "select sum(count) from restaurants").parse().unwrap()
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { confirmed, failed_attempts, longest_wait } = self;
        write!(
            f,
            "{confirmed} votes sent and confirmed, 0 lost, 0 duplicated; {failed_attempts} attempts failed; \
             a vote waited {:.2} s at most",
            longest_wait / 1000.0
        )
    }
}

impl Display for Outage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [total, after] = [self.total, self.after_the_move].map(|time| time.as_secs_f64());
        write!(f, "{total:.2} s, {after:.2} s of it after the name had moved")
    }
}
