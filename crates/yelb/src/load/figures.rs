//! What has happened so far.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// All that is counted and measured.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) votes: Latencies,
    pub(crate) reads: Latencies,
    /// Failed attempts by kind: a vote that is retried may be here more than once.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Votes that the server refused for good.
    pub(crate) refused: u64,
    /// Votes that were sent and neither confirmed nor refused, by the index of the restaurant.
    pub(crate) unknown: Vec<u64>,
    /// By the index of the restaurant; kept if they are to be verified.
    pub(crate) confirmations: Vec<Vec<Confirmation>>,
}

impl Figures {
    /// Nothing has happened to so many restaurants.
    pub(crate) fn new(restaurants: usize) -> Self {
        Self {
            votes: Latencies::new(),
            reads: Latencies::new(),
            failures: BTreeMap::new(),
            refused: 0,
            unknown: vec![0; restaurants],
            confirmations: vec![Vec::new(); restaurants],
        }
    }

    /// How many requests succeeded, and how many attempts failed.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.votes.succeeded() + self.reads.succeeded(), self.failures.values().sum())
    }
}

/// Microseconds that requests of one kind took until the end of their responses, of those that succeeded.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// From the moment at which the request was due.
    pub(crate) since_due: Histogram<u64>,
    /// From the beginning of the last attempt.
    pub(crate) since_sent: Histogram<u64>,
}

impl Latencies {
    fn new() -> Self {
        let histogram = || Histogram::new(DIGITS).expect("these digits are among those allowed");
        Self { since_due: histogram(), since_sent: histogram() }
    }

    /// How many requests succeeded.
    pub(crate) fn succeeded(&self) -> u64 {
        self.since_due.len()
    }

    /// A request succeeded `now`. All times are since the beginning.
    pub(crate) fn record(&mut self, due: Duration, sent: Duration, now: Duration) {
        for (histogram, since) in [(&mut self.since_due, due), (&mut self.since_sent, sent)] {
            let micros = u64::try_from(now.saturating_sub(since).as_micros()).unwrap_or(u64::MAX);
            // Not `saturating_record`: that one does not let the histogram grow.
            histogram.record(micros).expect("a histogram without a bound grows as needed");
        }
    }
}

/// A vote that was answered with a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The number of the request.
    pub(crate) request: u64,
    pub(crate) count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_as_good_a_latency_as_a_millisecond() {
        let mut latencies = Latencies::new();
        for time in [Duration::from_millis(1), Duration::from_hours(1)] {
            latencies.record(Duration::ZERO, Duration::ZERO, time);
        }
        assert_eq!((latencies.succeeded(), latencies.since_sent.min()), (2, 1000));
        assert!(latencies.since_due.max() >= 3_600_000_000);
    }
}
