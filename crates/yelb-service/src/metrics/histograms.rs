//! Histograms that are looked up once.

use std::cell::RefCell;

use metrics::Histogram;

/// The histograms of one metric, by the values of their labels. One for each thread: the registry makes a string of each label at
/// each look-up, and a lock that all threads share would make them wait.
#[derive(Debug)]
pub struct Histograms<K>(RefCell<Vec<(K, Histogram)>>);

impl<K: Copy + PartialEq> Histograms<K> {
    /// None yet.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Records a duration. `register` makes the histogram of `key` at its first use. Clients must not choose the keys.
    pub fn record(&self, key: K, seconds: f64, register: impl FnOnce(K) -> Histogram) {
        let mut known = self.0.borrow_mut();
        if let Some((_, histogram)) = known.iter().find(|(other, _)| *other == key) {
            histogram.record(seconds);
        } else {
            let histogram = register(key);
            histogram.record(seconds);
            known.push((key, histogram));
        }
    }
}

impl<K: Copy + PartialEq> Default for Histograms<K> {
    fn default() -> Self {
        Self::new()
    }
}
