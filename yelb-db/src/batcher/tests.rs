mod schedules;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::linger::TICK;
use super::*;
use crate::kind::StoreKind;
use crate::status::State;

static KIND: StoreKind = StoreKind {
    keeps: "votes",
    name: "fake",
    system: "fake",
    node: None,
    write: "UPDATE fake",
    read: "SELECT fake",
};

/// An input. Those with a key may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Add {
    by: i64,
    key: bool,
}

impl Input for Add {
    fn is_repeatable(&self) -> bool {
        self.key
    }
}

/// The input at which the store fails, the one at which its session panics, and the one that it refuses to do.
const REFUSED: i64 = -1;
const PANICS: i64 = -2;
const DECLINED: i64 = -3;

/// A counter that a test breaks, slows down and mends.
#[derive(Clone)]
struct Fake(Arc<Switches>);

struct Switches {
    count: AtomicI64,
    /// One permit a batch.
    gate: Semaphore,
    batches: Mutex<Vec<usize>>,
    takes: Duration,
    connects: AtomicUsize,
    closed: AtomicUsize,
    in_flight: AtomicUsize,
    /// It refuses connections.
    down: AtomicBool,
    /// It accepts them, and answers nothing.
    silent: AtomicBool,
    /// Sessions that were opened before this one are lost.
    lost_before: AtomicUsize,
}

impl Fake {
    /// It answers each batch once the test lets it.
    fn gated() -> Self {
        Self::new(Duration::ZERO, 0)
    }

    /// It answers by itself, after this time.
    fn slow(takes: Duration) -> Self {
        Self::new(takes, Semaphore::MAX_PERMITS)
    }

    fn new(takes: Duration, permits: usize) -> Self {
        Self(Arc::new(Switches {
            count: AtomicI64::new(0),
            gate: Semaphore::new(permits),
            batches: Mutex::default(),
            takes,
            connects: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            lost_before: AtomicUsize::new(0),
        }))
    }

    fn start(&self) -> (Batcher<Add, i64>, StatusSender, Workers) {
        let (status, workers) = (StatusSender::new(&KIND), Workers::default());
        (
            Batcher::start::<FakeSession>(self.clone(), status.clone(), None, &workers),
            status,
            workers,
        )
    }

    fn lose_sessions(&self) {
        self.0.lost_before.store(self.connects(), Ordering::SeqCst);
    }

    fn connects(&self) -> usize {
        self.0.connects.load(Ordering::SeqCst)
    }

    fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }

    async fn answer(&self) -> Result<(), StoreError> {
        if self.0.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.down.load(Ordering::SeqCst) { Err(refused()) } else { Ok(()) }
    }
}

fn refused() -> StoreError {
    StoreError::doing("do it")("refused")
}

struct FakeSession {
    store: Fake,
    number: usize,
}

impl FakeSession {
    async fn answer(&self) -> Result<(), StoreError> {
        self.store.answer().await?;
        let lost = self.number < self.store.0.lost_before.load(Ordering::SeqCst);
        if lost { Err(refused()) } else { Ok(()) }
    }
}

impl Session for FakeSession {
    type Store = Fake;
    type Input = Add;
    type Output = i64;

    async fn connect(store: &Fake) -> Result<Self, StoreError> {
        store.answer().await?;
        let number = store.0.connects.fetch_add(1, Ordering::SeqCst);
        Ok(Self { store: store.clone(), number })
    }

    async fn run(&mut self, batch: &[Add]) -> Outputs<i64> {
        let store = &self.store.0;
        assert_eq!(store.in_flight.fetch_add(1, Ordering::SeqCst), 0, "one batch at a time");
        let _done = Done(&store.in_flight);
        self.answer().await?;
        store.gate.acquire().await.expect("never closed").forget();
        tokio::time::sleep(store.takes).await;
        store.batches.lock().unwrap().push(batch.len());
        assert!(batch.iter().all(|add| add.by != PANICS), "the batch that panics");
        if batch.iter().any(|add| add.by == REFUSED) {
            return Err(refused());
        }
        if batch.iter().any(|add| add.by == DECLINED) {
            return Err(StoreError::refused("do it")("declined"));
        }
        Ok(batch
            .iter()
            .map(|add| Ok(store.count.fetch_add(add.by, Ordering::SeqCst) + add.by))
            .collect())
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.answer().await
    }

    async fn close(self) {
        self.store.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A batch is over, however it ends.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Answer = Result<i64, StoreError>;

fn submit(batcher: &Batcher<Add, i64>, by: i64, key: bool) -> JoinHandle<Answer> {
    let batcher = batcher.clone();
    tokio::spawn(async move { batcher.submit(Add { by, key }).await })
}

fn add(batcher: &Batcher<Add, i64>, by: i64) -> JoinHandle<Answer> {
    submit(batcher, by, false)
}

/// Lets every task run until it waits for something else than its turn.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_while_a_batch_runs_shares_the_next() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let mut answers = vec![add(&batcher, 1)];
    settle().await;
    answers.extend((0..99).map(|_| add(&batcher, 1)));
    settle().await;

    store.0.gate.add_permits(2);
    let mut counts = Vec::new();
    for answer in answers {
        counts.push(answer.await.unwrap().unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>(), "each has its own count");
    assert_eq!(store.batches(), [1, 99]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_by_a_batch_that_began_before_it_arrived() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let early = add(&batcher, 1);
    settle().await;
    let late = add(&batcher, 1);
    settle().await;

    store.0.gate.add_permits(1);
    assert_eq!(early.await.unwrap().unwrap(), 1);
    settle().await;
    assert!(!late.is_finished());

    store.0.gate.add_permits(1);
    assert_eq!(late.await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_that_of_the_whole_batch_and_not_of_the_next() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let failing = [add(&batcher, REFUSED), add(&batcher, 1)];
    settle().await;
    let next = add(&batcher, 7);
    settle().await;

    store.0.gate.add_permits(2);
    for answer in failing {
        assert!(matches!(answer.await.unwrap(), Err(StoreError::Failed { .. })));
    }
    assert_eq!(next.await.unwrap().unwrap(), 7);
    assert_eq!(store.connects(), 1, "the session works, and was kept");
}

#[tokio::test(start_paused = true)]
async fn the_input_of_a_caller_that_went_away_is_done_once() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let gone = add(&batcher, 1);
    settle().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());

    store.0.gate.add_permits(2);
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_batch_and_the_next_is_done_on_a_new_session() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let bad = [add(&batcher, PANICS), add(&batcher, 1)];
    settle().await;
    let next = add(&batcher, 1);
    settle().await;

    store.0.gate.add_permits(2);
    for answer in bad {
        assert!(matches!(answer.await.unwrap(), Err(StoreError::Failed { .. })));
    }
    assert_eq!(next.await.unwrap().unwrap(), 1);
    assert_eq!(store.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_turned_away_at_once() {
    let store = Fake::gated();
    let (batcher, ..) = store.start();
    let first = add(&batcher, 1);
    settle().await;
    let mut waiting = JoinSet::new();
    for _ in 0..CAPACITY {
        let batcher = batcher.clone();
        waiting.spawn(async move { batcher.submit(Add { by: 1, key: false }).await });
    }
    while batcher.queue.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = batcher.submit(Add { by: 1, key: false }).await;
    assert!(matches!(refused, Err(StoreError::Overloaded)));

    store.0.gate.add_permits(2);
    assert!(first.await.unwrap().is_ok());
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn under_a_lost_session_what_has_a_key_is_done_on_a_new_one_and_the_rest_fails() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, ..) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);

    store.lose_sessions();
    let (with_key, without) = (submit(&batcher, 1, true), add(&batcher, 1));
    assert!(matches!(without.await.unwrap(), Err(StoreError::Failed { .. })));
    assert_eq!(with_key.await.unwrap().unwrap(), 2);
    assert_eq!((store.connects(), store.batches()), (2, vec![1, 1]));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_after_its_session_was_lost_is_not_said_to_be_undone() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, ..) = store.start();
    let answer = submit(&batcher, DECLINED, true).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Refused { .. })), "{answer:?}");

    store.lose_sessions();
    let answer = submit(&batcher, DECLINED, true).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Failed { .. })), "it was sent twice: {answer:?}");
    assert_eq!(store.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_a_third_time() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, ..) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);
    store.0.lost_before.store(usize::MAX, Ordering::SeqCst);

    let answer = submit(&batcher, 1, true).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Failed { .. })), "{answer:?}");
    assert_eq!(store.0.count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_store_went_down_is_not_said_to_be_undone() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, ..) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);

    store.0.down.store(true, Ordering::SeqCst);
    let answer = submit(&batcher, 1, true).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Failed { .. })), "it was sent: {answer:?}");
    let answer = submit(&batcher, 1, true).await.unwrap();
    assert!(matches!(answer, Err(StoreError::Down)), "it was not: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_dies_while_idle_is_replaced_before_an_input_needs_it() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, status, _workers) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);

    store.lose_sessions();
    sleep(INTERVAL + TICK).await;
    assert_eq!(store.connects(), 2);
    assert_eq!(status.receiver().get().state, State::Up, "the store was never down");
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_told_at_once_and_found_again() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, status, _workers) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);

    store.0.down.store(true, Ordering::SeqCst);
    sleep(INTERVAL * 2).await;
    assert!(matches!(status.receiver().get().state, State::Down(_)));
    let asked = Instant::now();
    assert!(matches!(add(&batcher, 1).await.unwrap(), Err(StoreError::Down)));
    assert!(asked.elapsed() < TICK);

    store.0.down.store(false, Ordering::SeqCst);
    sleep(INTERVAL + TICK).await;
    assert_eq!(status.receiver().get().state, State::Up);
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_keeps_no_caller_longer_than_two_batches() {
    let store = Fake::slow(Duration::ZERO);
    let (batcher, status, _workers) = store.start();
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 1);

    store.0.silent.store(true, Ordering::SeqCst);
    // At any moment of the outage: before the first batch fails, during it, and while connecting fails.
    let mut callers = JoinSet::new();
    for _ in 0..60 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            let asked = Instant::now();
            assert!(batcher.submit(Add { by: 1, key: true }).await.is_err());
            asked.elapsed()
        });
        sleep(Duration::from_millis(100)).await;
    }
    let longest = callers.join_all().await.into_iter().max();
    assert!(longest <= Some(BATCH_LIMIT * 2), "{longest:?}");
    assert!(matches!(status.receiver().get().state, State::Down(_)));

    store.0.silent.store(false, Ordering::SeqCst);
    sleep(CONNECT_LIMIT + INTERVAL).await;
    assert_eq!(add(&batcher, 1).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_leaves_the_server_that_its_writer_has_left() {
    let (written, read) = (Fake::slow(Duration::ZERO), Fake::slow(Duration::ZERO));
    let (writer, status, workers) = written.start();
    assert_eq!(add(&writer, 1).await.unwrap().unwrap(), 1);
    let follows = Some(status.writer_connections());
    let reader =
        Batcher::start::<FakeSession>(read.clone(), status.for_reader(), follows, &workers);
    add(&reader, 0).await.unwrap().unwrap();
    assert_eq!(read.connects(), 1);

    written.lose_sessions();
    sleep(INTERVAL + TICK).await;
    assert_eq!(written.connects(), 2);
    add(&reader, 0).await.unwrap().unwrap();
    assert_eq!(read.connects(), 2, "before the next read");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_waits_is_done_and_the_session_closed() {
    let store = Fake::slow(Duration::from_millis(10));
    let (batcher, _, workers) = store.start();
    let answers = [add(&batcher, 1), add(&batcher, 1)];
    settle().await;
    workers.tasks.close();
    workers.stop.cancel();
    workers.tasks.wait().await;
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(store.0.closed.load(Ordering::SeqCst), 1);
    assert!(matches!(add(&batcher, 1).await.unwrap(), Err(StoreError::Down)));
}

/// How long a batch takes at the slow store of these tests.
const BATCH: Duration = Duration::from_millis(40);

/// The batches that so many clients make of ten inputs each, that begin when `begins` says, and pause for `pause` between an
/// answer and the next input.
async fn batches_of(clients: u32, begins: fn(u32) -> Duration, pause: Duration) -> Vec<usize> {
    let store = Fake::slow(BATCH);
    let (batcher, ..) = store.start();
    let mut clients_at_work = JoinSet::new();
    for client in 0..clients {
        let batcher = batcher.clone();
        clients_at_work.spawn(async move {
            sleep(begins(client)).await;
            for _ in 0..10 {
                batcher.submit(Add { by: 1, key: false }).await.unwrap();
                sleep(pause).await;
            }
        });
    }
    clients_at_work.join_all().await;
    let batches = store.batches();
    assert_eq!(batches.iter().sum::<usize>(), usize::try_from(clients * 10).unwrap());
    batches
}

#[tokio::test(start_paused = true)]
async fn callers_that_a_slow_batch_has_answered_share_the_next() {
    let one_before_all: fn(u32) -> Duration = |client| TICK * u32::from(client > 0);
    let two_crowds: fn(u32) -> Duration = |client| BATCH / 2 * (client % 2);
    for begins in [one_before_all, two_crowds] {
        let batches = batches_of(32, begins, TICK).await;
        let whole = batches.iter().filter(|inputs| **inputs == 32).count();
        assert!(whole >= 8, "{batches:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_come_again_are_not_waited_for() {
    const INPUTS: u32 = 3200;
    let store = Fake::slow(BATCH);
    let (batcher, ..) = store.start();
    let mut callers = JoinSet::new();
    for _ in 0..INPUTS {
        let batcher = batcher.clone();
        callers.spawn(async move { batcher.submit(Add { by: 1, key: false }).await.unwrap() });
        sleep(TICK).await;
    }
    callers.join_all().await;
    // With a pause after each they would be an eighth fewer.
    let batches = f64::from(u32::try_from(store.batches().len()).unwrap());
    let most = (TICK * INPUTS).div_duration_f64(BATCH);
    assert!((most * 0.96..most + 3.0).contains(&batches), "{batches} of {most}");
}

#[tokio::test(start_paused = true)]
async fn a_few_clients_are_not_made_to_wait() {
    let began = Instant::now();
    let batches = batches_of(1, |_| Duration::ZERO, TICK).await;
    assert_eq!(batches, [1; 10]);
    assert!(began.elapsed() <= 10 * (BATCH + 2 * TICK), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_counted_twice_on_many_threads() {
    const INPUTS: i64 = 20_000;
    let store = Fake::slow(Duration::ZERO);
    let (batcher, ..) = store.start();
    let mut callers = JoinSet::new();
    for _ in 0..INPUTS {
        let batcher = batcher.clone();
        callers.spawn(async move { batcher.submit(Add { by: 1, key: false }).await });
    }
    let all = timeout(Duration::from_secs(30), callers.join_all()).await.expect("all are answered");
    // More wait at a time than there is room for: those are turned away, and not counted.
    let mut counts: Vec<i64> = all.into_iter().filter_map(Result::ok).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=i64::try_from(counts.len()).unwrap()).collect::<Vec<_>>());
}
