//! Whether the next batch waits a moment for the callers that the last one has answered.
//!
//! Many clients send their next request right after an answer. Without a pause, the next batch has begun by then, so their vote
//! waits for that batch and then for its own: two round trips for each vote. After one pause, all of them are in the same
//! batch, and a vote takes one round trip. Clients that send at a fixed rate gain nothing. For them, there is one pause in 128
//! batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// The pause is at most this part of the last batch's time, and at most this long, so that it does not make a very slow store
/// slower.
const SHARE: u32 = 4;
const LONGEST: Duration = Duration::from_millis(10);
/// The resolution of the runtime's timer. A store that is quick enough to have less to wait for needs no pause.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// A batch of fewer inputs is followed at once.
const CROWD: usize = 8;
/// After pauses in which few came again, the most batches without one.
const MOST_WITHOUT: u32 = 127;

/// What is known from earlier batches.
#[derive(Debug, Default)]
pub(super) struct Linger {
    batches_to_go: u32,
    after_a_miss: u32,
}

impl Linger {
    /// How long to wait for the callers of a batch of `answered` that `took` so long, if it pays.
    pub(super) fn pause_after(&mut self, answered: usize, took: Duration) -> Option<Duration> {
        let pause = (took / SHARE).min(LONGEST);
        if answered < CROWD || pause < TICK {
            return None;
        }
        let left = self.batches_to_go.checked_sub(1);
        self.batches_to_go = left.unwrap_or(0);
        left.is_none().then_some(pause)
    }

    /// Learns whether most came again in a pause. One miss may be an accident; more are a habit.
    pub(super) fn learn(&mut self, most_came_again: bool) {
        let longer = (self.after_a_miss * 2 + 1).min(MOST_WITHOUT);
        self.after_a_miss = if most_came_again { 0 } else { longer };
        self.batches_to_go = self.after_a_miss;
    }
}

/// Wakes the task once as many inputs have arrived as it waits for: one wake-up, not one for each of them.
#[derive(Debug)]
pub(super) struct Arrivals {
    awaited: AtomicUsize,
    complete: Notify,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { awaited: AtomicUsize::new(usize::MAX), complete: Notify::new() }
    }
}

impl Arrivals {
    /// So many inputs are in the queue. A count that crosses with the task's is a wake-up missed; the pause then ends by itself.
    pub(super) fn note(&self, waiting: usize) {
        if waiting >= self.awaited.load(Ordering::Relaxed) {
            self.complete.notify_one();
        }
    }

    /// Waits until `awaited` inputs are in the queue, whose length is `waiting`, for `limit` at most.
    pub(super) async fn wait_for(
        &self,
        awaited: usize,
        waiting: impl Fn() -> usize,
        limit: Duration,
    ) {
        self.awaited.store(awaited, Ordering::Relaxed);
        let all_came = async {
            while waiting() < awaited {
                self.complete.notified().await;
            }
        };
        // Whether all came or not, the next batch begins.
        let _ = timeout(limit, all_came).await;
        self.awaited.store(usize::MAX, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(20);

    #[test]
    fn only_many_callers_of_a_slow_store_are_waited_for() {
        let pause = |answered, took| Linger::default().pause_after(answered, took);
        assert_eq!(pause(256, SLOW), Some(SLOW / 4));
        assert_eq!(pause(256, Duration::from_secs(2)), Some(LONGEST));
        assert_eq!(pause(7, SLOW), None);
        assert_eq!(pause(256, Duration::from_millis(3)), None);
    }

    #[test]
    fn the_more_often_it_was_in_vain_the_less_often_it_is_tried() {
        let mut linger = Linger::default();
        let mut without = Vec::new();
        for _ in 0..9 {
            linger.learn(false);
            without.push((0..1000).find(|_| linger.pause_after(256, SLOW).is_some()).unwrap());
        }
        assert_eq!(without, [1, 3, 7, 15, 31, 63, 127, 127, 127]);
        linger.learn(true);
        assert!(linger.pause_after(256, SLOW).is_some());
    }
}
