//! Whether the next round waits a moment for those whom the last one has answered.
//!
//! Clients that ask again once they have their answer come back a moment later, and the next round is gone by then with those who
//! came in the meantime: they wait for that one and then for their own, two round trips for each vote. Where one pause lets
//! them in, all are in one round from then on, and a vote takes one. Clients that come at a rate of their own gain nothing by a
//! pause; they meet one in 128 rounds.

use std::time::Duration;

/// The part of a round's time that the next one may be put off by; and the most, so that a very slow store is not made slower
/// yet.
const SHARE: u32 = 4;
const LONGEST: Duration = Duration::from_millis(10);
/// The runtime's timer counts in these. A store that is quick enough to have less to wait for needs no pause.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Fewer than these are no crowd, and are not waited for.
const CROWD: usize = 8;
/// After pauses in which few came again there is none for so many rounds, at most.
const MOST_WITHOUT: u32 = 127;

/// What the rounds so far have taught.
#[derive(Debug, Default)]
pub(super) struct Patience {
    rounds_to_go: u32,
    after_a_miss: u32,
}

impl Patience {
    /// How long to wait for those whom a round has `answered` that `took` so long, if it is worth while.
    pub(super) fn pause_after(&mut self, answered: usize, took: Duration) -> Option<Duration> {
        let pause = (took / SHARE).min(LONGEST);
        if answered < CROWD || pause < TICK {
            return None;
        }
        let left = self.rounds_to_go.checked_sub(1);
        self.rounds_to_go = left.unwrap_or(0);
        left.is_none().then_some(pause)
    }

    /// Learns whether most came again in a pause. A single one in which they did not may be an accident; more are a habit.
    pub(super) fn learn(&mut self, most_came_again: bool) {
        let longer = (self.after_a_miss * 2 + 1).min(MOST_WITHOUT);
        self.after_a_miss = if most_came_again { 0 } else { longer };
        self.rounds_to_go = self.after_a_miss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(20);

    #[test]
    fn only_a_crowd_at_a_slow_store_is_waited_for() {
        let pause = |answered, took| Patience::default().pause_after(answered, took);
        assert_eq!(pause(256, SLOW), Some(SLOW / 4));
        assert_eq!(pause(256, Duration::from_secs(2)), Some(LONGEST));
        assert_eq!(pause(7, SLOW), None);
        assert_eq!(pause(256, Duration::from_millis(3)), None);
    }

    #[test]
    fn the_more_often_it_was_in_vain_the_less_often_it_is_tried() {
        let mut patience = Patience::default();
        let mut without = Vec::new();
        for _ in 0..9 {
            patience.learn(false);
            without.push((0..1000).find(|_| patience.pause_after(256, SLOW).is_some()).unwrap());
        }
        assert_eq!(without, [1, 3, 7, 15, 31, 63, 127, 127, 127]);
        patience.learn(true);
        assert!(patience.pause_after(256, SLOW).is_some());
    }
}
