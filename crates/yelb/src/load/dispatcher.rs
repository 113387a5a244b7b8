//! Starts each request when it is due, whatever became of those before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;

/// The shortest sleep: requests that are due within it are started together, at most so much late.
const SHORTEST_SLEEP: Duration = Duration::from_micros(200);
/// The longest one, so that the dispatcher notices when it is stopped.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    /// Since the beginning.
    pub(crate) due: Duration,
}

/// Hands out requests in the order in which they are due, each with one of a limited number of slots.
///
/// There is no queue: how many requests wait for a slot follows from the schedule and the clock.
pub(crate) struct Dispatcher {
    pub(crate) schedule: Schedule,
    began: Instant,
    slots: Arc<Semaphore>,
    /// Ends it early: no further request is started.
    pub(crate) stop: CancellationToken,
    pub(crate) started: AtomicU64,
    /// The most requests that were due at a time and had to wait for a slot.
    pub(crate) most_waiting: AtomicU64,
}

impl Dispatcher {
    /// Begins now.
    pub(crate) fn new(schedule: Schedule, connections: usize) -> Self {
        Self {
            schedule,
            began: Instant::now(),
            slots: Arc::new(Semaphore::new(connections)),
            stop: CancellationToken::new(),
            started: AtomicU64::new(0),
            most_waiting: AtomicU64::new(0),
        }
    }

    /// Calls `start` for each request when it is due and there is a slot for it. Blocks: it has a thread of its own,
    /// because the runtime's timer counts in milliseconds.
    pub(crate) fn dispatch(&self, runtime: &Handle, start: impl Fn(Arrival, OwnedSemaphorePermit)) {
        for number in 0..self.schedule.total {
            let due = self.schedule.due(number);
            self.sleep_until(due);
            let Some(slot) = runtime.block_on(self.slot()) else { return };
            self.started.fetch_add(1, Relaxed);
            start(Arrival { number, due }, slot);
        }
    }

    fn sleep_until(&self, due: Duration) {
        while !self.stop.is_cancelled() {
            let early = due.saturating_sub(self.elapsed());
            if early.is_zero() {
                return;
            }
            thread::sleep(early.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
        }
    }

    /// A slot as soon as one is free; none once the dispatcher is stopped.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if self.stop.is_cancelled() {
            return None;
        }
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let freed = Arc::clone(&self.slots).acquire_owned();
        let slot = self.stop.run_until_cancelled(freed).await?;
        self.most_waiting.fetch_max(self.waiting(), Relaxed);
        Some(slot.expect("the slots are never closed"))
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many requests are due and were not started.
    pub(crate) fn waiting(&self) -> u64 {
        self.schedule.due_by(self.elapsed()).saturating_sub(self.started.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::schedule::Shape;
    use super::*;

    const DURATION: Duration = Duration::from_millis(50);

    /// A dispatcher of ten requests at work, and what it hands out.
    fn at_work(
        connections: usize,
    ) -> (Arc<Dispatcher>, mpsc::Receiver<(Arrival, Duration, OwnedSemaphorePermit)>) {
        let schedule = Schedule::new(Shape::Constant, 200.0, 200.0, DURATION);
        let dispatcher = Dispatcher::new(schedule, connections);
        let dispatcher = Arc::new(dispatcher);
        let (sender, receiver) = mpsc::channel();
        let (runtime, working) = (Handle::current(), Arc::clone(&dispatcher));
        thread::spawn(move || {
            working.dispatch(&runtime, |arrival, slot| {
                sender.send((arrival, working.elapsed(), slot)).unwrap();
            });
        });
        (dispatcher, receiver)
    }

    #[tokio::test]
    async fn every_request_is_started_in_its_turn_and_none_before_it_is_due() {
        let (dispatcher, started) = at_work(10);
        let started: Vec<_> = started.iter().collect();
        for (number, (arrival, at, _)) in (0..).zip(&started) {
            assert_eq!(arrival.number, number);
            assert!(at >= &arrival.due, "{arrival:?} at {at:?}");
        }
        assert_eq!((started.len(), dispatcher.started.load(Relaxed)), (10, 10));
    }

    #[tokio::test]
    async fn requests_that_are_due_while_all_slots_are_taken_wait_and_are_counted() {
        let (dispatcher, started) = at_work(1);
        let (_, _, slot) = started.recv().unwrap();
        while dispatcher.waiting() < 9 {
            thread::yield_now();
        }
        assert!(started.try_recv().is_err());
        drop(slot);
        let rest: Vec<_> = started.iter().map(|(arrival, ..)| arrival.number).collect();
        assert_eq!(rest, (1..10).collect::<Vec<_>>());
        assert_eq!((dispatcher.most_waiting.load(Relaxed), dispatcher.waiting()), (9, 0));
    }

    #[tokio::test]
    async fn a_stopped_dispatcher_starts_nothing_and_knows_what_it_left() {
        let (dispatcher, started) = at_work(1);
        let first = started.recv().unwrap();
        dispatcher.stop.cancel();
        // It ends, and its side of the channel with it.
        assert!(started.recv().is_err());
        drop(first);
        while dispatcher.elapsed() < DURATION {
            thread::yield_now();
        }
        assert_eq!((dispatcher.started.load(Relaxed), dispatcher.waiting()), (1, 9));
    }
}
