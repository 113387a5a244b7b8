//! What has happened so far.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::line::Failure;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// All that is counted and measured.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) votes: Asked,
    pub(crate) reads: Asked,
    /// Attempts that failed, by kind: a vote that is retried may be here more than once.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// By the index of the restaurant.
    pub(crate) fates: Vec<Fate>,
}

/// Requests of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Taken from the schedule.
    pub(crate) taken: u64,
    /// Microseconds from the moment when it was due to the end of its answer, of those that succeeded.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds from the moment when it was sent, or sent again, to the end of its answer.
    pub(crate) service: Histogram<u64>,
}

impl Asked {
    fn new() -> Self {
        let histogram = || Histogram::new(DIGITS).expect("these digits are among those allowed");
        Self { taken: 0, latency: histogram(), service: histogram() }
    }

    /// How many succeeded.
    pub(crate) fn answered(&self) -> u64 {
        self.latency.len()
    }

    /// One succeeded, so long after it was due and so long after it was sent.
    pub(crate) fn succeed(&mut self, latency: Duration, service: Duration) {
        for (histogram, time) in [(&mut self.latency, latency), (&mut self.service, service)] {
            // Not `saturating_record`: that one does not let the histogram grow.
            histogram.record(micros(time)).expect("a histogram without a bound grows as needed");
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Figures {
    /// Nothing has happened to so many restaurants.
    pub(crate) fn new(restaurants: usize) -> Self {
        Self {
            votes: Asked::new(),
            reads: Asked::new(),
            failures: BTreeMap::new(),
            fates: vec![Fate::default(); restaurants],
        }
    }

    /// One more attempt failed.
    pub(crate) fn fail(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Attempts that failed, of whatever kind.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// What became of the votes for a restaurant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    /// Votes that went out at least once.
    pub(crate) sent: u64,
    /// Votes that were answered with a number.
    pub(crate) acknowledged: u64,
    /// Votes that were answered with a final no.
    pub(crate) refused: u64,
    /// Numbers that were given before, to another vote.
    pub(crate) repeated: u64,
    /// The numbers that were given.
    pub(crate) numbers: Numbers,
}

impl Fate {
    /// A vote was answered with this number.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.acknowledged += 1;
        self.repeated += u64::from(!self.numbers.insert(number));
    }

    /// Votes of which nobody knows whether they were counted.
    pub(crate) fn unresolved(&self) -> u64 {
        self.sent.saturating_sub(self.acknowledged + self.refused)
    }
}

/// A set of numbers that mostly follow one another: a bit each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers(HashMap<u64, u64>);

impl Numbers {
    /// Whether the number is a new one.
    fn insert(&mut self, number: u64) -> bool {
        let bits = self.0.entry(number / 64).or_default();
        let bit = 1 << (number % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_as_good_a_latency_as_a_millisecond() {
        let mut asked = Asked::new();
        for time in [Duration::from_millis(1), Duration::from_hours(1)] {
            asked.succeed(time, time);
        }
        assert_eq!((asked.answered(), asked.service.min()), (2, 1000));
        assert!(asked.latency.max() >= 3_600_000_000);
    }

    #[test]
    fn a_number_that_two_votes_got_is_repeated() {
        let mut fate = Fate { sent: 6, ..Fate::default() };
        for number in [1, 64, 63, 64, u64::MAX] {
            fate.acknowledge(number);
        }
        assert_eq!((fate.acknowledged, fate.repeated, fate.unresolved()), (5, 1, 1));
    }
}
