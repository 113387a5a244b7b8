mod schedules;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::patience::TICK;
use super::*;

/// A counter that adds a round at a time, when it is let.
struct Counter {
    count: Mutex<i64>,
    /// One permit a round.
    gate: Arc<Semaphore>,
    rounds: Arc<AtomicUsize>,
    in_flight: AtomicUsize,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a negative load")]
struct Negative;

impl Work for Counter {
    type Load = i64;
    /// The load, and the count after it.
    type Done = (i64, i64);
    type Error = Negative;

    async fn run(&self, load: i64) -> Result<(i64, i64), Negative> {
        assert_eq!(self.in_flight.fetch_add(1, Ordering::SeqCst), 0, "one round at a time");
        self.gate.acquire().await.expect("never closed").forget();
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.rounds.fetch_add(1, Ordering::SeqCst);
        assert_ne!(load, 1_000_000, "the round that panics");
        if load < 0 {
            return Err(Negative);
        }
        let mut count = self.count.lock().unwrap();
        *count += load;
        Ok((load, *count))
    }
}

struct Bench {
    counter: Rounds<Counter>,
    gate: Arc<Semaphore>,
    rounds: Arc<AtomicUsize>,
}

fn bench() -> Bench {
    let gate = Arc::new(Semaphore::new(0));
    let rounds = Arc::new(AtomicUsize::new(0));
    let work = Counter {
        count: Mutex::new(0),
        gate: Arc::clone(&gate),
        rounds: Arc::clone(&rounds),
        in_flight: AtomicUsize::new(0),
    };
    Bench { counter: Rounds::new(work), gate, rounds }
}

/// Adds one, answers with the count that it made.
async fn add_one(counter: Rounds<Counter>) -> Result<i64, RoundError<Negative>> {
    let add = |load: &mut i64| {
        *load += 1;
        *load
    };
    counter.join(add, |place, (load, count)| count - load + place).await
}

/// Lets every task run until it waits for something else than its turn.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_arrives_while_a_round_runs_shares_the_next() {
    let bench = bench();
    let mut votes = JoinSet::new();
    votes.spawn(add_one(bench.counter.clone()));
    settle().await;
    for _ in 0..99 {
        votes.spawn(add_one(bench.counter.clone()));
    }
    settle().await;

    bench.gate.add_permits(2);
    let mut counts: Vec<i64> = votes.join_all().await.into_iter().map(Result::unwrap).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>(), "each has its own count");
    assert_eq!(bench.rounds.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_answered_by_a_round_that_began_before_he_came() {
    let bench = bench();
    let early = tokio::spawn(add_one(bench.counter.clone()));
    settle().await;
    let late = tokio::spawn(add_one(bench.counter.clone()));
    settle().await;

    bench.gate.add_permits(1);
    assert_eq!(early.await.unwrap().unwrap(), 1);
    settle().await;
    assert!(!late.is_finished());

    bench.gate.add_permits(1);
    assert_eq!(late.await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_everybodys_in_the_round_and_nobodys_in_the_next() {
    let bench = bench();
    let join = |by: i64| {
        let counter = bench.counter.clone();
        tokio::spawn(async move { counter.join(|load| *load += by, |(), (_, count)| *count).await })
    };
    let (first, second) = (join(-5), join(1));
    settle().await;
    let third = join(7);
    settle().await;

    bench.gate.add_permits(1);
    for failed in [first, second] {
        assert!(
            matches!(failed.await.unwrap(), Err(RoundError::Failed(error)) if *error == Negative)
        );
    }
    bench.gate.add_permits(1);
    assert_eq!(third.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_vote_of_a_caller_who_went_away_is_counted_once() {
    let bench = bench();
    let gone = tokio::spawn(add_one(bench.counter.clone()));
    settle().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());

    bench.gate.add_permits(2);
    assert_eq!(add_one(bench.counter.clone()).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_nobody_waiting_and_the_next_starts_afresh() {
    let bench = bench();
    let counter = bench.counter.clone();
    let bad = tokio::spawn(async move { counter.join(|load| *load = 1_000_000, |(), _| ()).await });
    settle().await;
    let next = tokio::spawn(add_one(bench.counter.clone()));
    settle().await;

    bench.gate.add_permits(1);
    assert!(matches!(bad.await.unwrap(), Err(RoundError::Abandoned)));
    assert!(matches!(next.await.unwrap(), Err(RoundError::Abandoned)));

    bench.gate.add_permits(1);
    assert_eq!(add_one(bench.counter.clone()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_turned_away_at_once() {
    let bench = bench();
    let mut votes = JoinSet::new();
    votes.spawn(add_one(bench.counter.clone()));
    settle().await;
    for _ in 0..CAPACITY {
        votes.spawn(add_one(bench.counter.clone()));
    }
    while bench.counter.0.lock().joined < CAPACITY {
        tokio::task::yield_now().await;
    }
    assert!(matches!(add_one(bench.counter.clone()).await, Err(RoundError::Full)));

    bench.gate.add_permits(2);
    assert!(votes.join_all().await.iter().all(Result::is_ok));
}

/// A counter that takes its time, and notes how many votes each of its rounds had.
struct Slow {
    takes: Duration,
    rounds: Arc<Mutex<Vec<i64>>>,
}

impl Work for Slow {
    type Load = i64;
    type Done = ();
    type Error = Negative;

    async fn run(&self, load: i64) -> Result<(), Negative> {
        tokio::time::sleep(self.takes).await;
        self.rounds.lock().unwrap().push(load);
        Ok(())
    }
}

/// How long a round of [`Slow`] takes here.
const ROUND: Duration = Duration::from_millis(40);

fn slow() -> (Rounds<Slow>, Arc<Mutex<Vec<i64>>>) {
    let rounds = Arc::<Mutex<Vec<i64>>>::default();
    (Rounds::new(Slow { takes: ROUND, rounds: Arc::clone(&rounds) }), rounds)
}

async fn vote(counter: &Rounds<Slow>) {
    counter.join(|load| *load += 1, |(), ()| ()).await.unwrap();
}

/// The rounds that so many clients make of ten votes each, who begin when `begins` says, and are `away` between an answer and
/// the next vote.
async fn rounds_of(clients: u32, begins: fn(u32) -> Duration, away: Duration) -> Vec<i64> {
    let (counter, rounds) = slow();
    let mut voting = JoinSet::new();
    for client in 0..clients {
        let counter = counter.clone();
        voting.spawn(async move {
            tokio::time::sleep(begins(client)).await;
            for _ in 0..10 {
                vote(&counter).await;
                tokio::time::sleep(away).await;
            }
        });
    }
    voting.join_all().await;
    let rounds = rounds.lock().unwrap().clone();
    assert_eq!(rounds.iter().sum::<i64>(), i64::from(clients * 10));
    rounds
}

#[tokio::test(start_paused = true)]
async fn those_whom_a_slow_round_has_answered_share_the_next() {
    let one_before_all: fn(u32) -> Duration = |client| TICK * u32::from(client > 0);
    let two_crowds: fn(u32) -> Duration = |client| ROUND / 2 * (client % 2);
    for begins in [one_before_all, two_crowds] {
        let rounds = rounds_of(32, begins, TICK).await;
        let whole = rounds.iter().filter(|votes| **votes == 32).count();
        assert!(whole >= 8, "{rounds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_do_not_come_again_are_not_waited_for() {
    const VOTES: u32 = 3200;
    let (counter, rounds) = slow();
    let mut voting = JoinSet::new();
    for _ in 0..VOTES {
        let counter = counter.clone();
        voting.spawn(async move { vote(&counter).await });
        tokio::time::sleep(TICK).await;
    }
    voting.join_all().await;
    // With a pause after each they would be an eighth fewer.
    let (rounds, most) = (rounds.lock().unwrap().len(), (TICK * VOTES).div_duration_f64(ROUND));
    assert!(
        (most * 0.96..most + 3.0).contains(&f64::from(u32::try_from(rounds).unwrap())),
        "{rounds} of {most}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_few_clients_are_not_made_to_wait() {
    let began = Instant::now();
    let rounds = rounds_of(1, |_| Duration::ZERO, TICK).await;
    assert_eq!(rounds, [1; 10]);
    assert!(began.elapsed() <= 10 * (ROUND + 2 * TICK), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_counted_twice_on_many_threads() {
    const VOTES: i64 = 20_000;
    let bench = bench();
    bench.gate.add_permits(Semaphore::MAX_PERMITS);
    let mut votes = JoinSet::new();
    for _ in 0..VOTES {
        votes.spawn(add_one(bench.counter.clone()));
    }
    let all = tokio::time::timeout(Duration::from_secs(30), votes.join_all())
        .await
        .expect("nobody is forgotten");
    // More wait at a time than there is room for: those are turned away, and not counted.
    let mut counts: Vec<i64> = all.into_iter().filter_map(Result::ok).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=i64::try_from(counts.len()).unwrap()).collect::<Vec<_>>());
}
