//! One task owns one connection; requests send it their input and wait for their output.
//!
//! With a statement for each request, a store would run a hundred thousand statements where a few hundred are enough, and all
//! requests would queue for one row. Here the task collects all inputs that arrive while it writes one *batch*, and writes them
//! as the next batch (group commit). A store has one batch of a kind at a time. The slower the store is, the more inputs a
//! batch has. So the number of statements does not grow with the number of requests.
//!
//! A batch is run after all its inputs have arrived. A read is therefore never answered by a query older than itself, and a
//! vote never before the store has committed it. If a caller disconnects after it has sent its input, the input is written
//! nevertheless.

mod batch;
mod linger;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::batch::Input;
use self::batch::{Batch, Request};
use self::linger::{Arrivals, Linger};
use crate::error::StoreError;
use crate::status::StatusSender;

/// How many inputs may wait for a batch. The next input is refused at once: waiting inputs take memory, and their answers would
/// come too late.
pub const CAPACITY: usize = 8192;
/// How long a batch may take, its second try included. Longer than a statement may (1.8 s), and short enough that the batch
/// under way and a request's own together end within the 5 s that a whole request may take.
pub const BATCH_LIMIT: Duration = Duration::from_millis(2400);
/// How long a store may take to answer a ping. A store that accepts a connection and does not answer is down, too.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long it may take to connect and log in; also how long inputs wait for the first try after a loss.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How often a session is asked whether it works, busy or idle; and the pause before the next try to connect.
const INTERVAL: Duration = Duration::from_secs(1);

/// A session with a store, for one kind of work.
pub trait Session: Send + Sized + 'static {
    /// Where the store is, and how to log in.
    type Store: Send + Sync + 'static;
    /// What one caller wants done.
    type Input: Input;
    /// The result that the caller gets.
    type Output: Send + 'static;

    /// Looks the store's name up, and logs in. It fails if the server cannot do this kind of work, such as write.
    fn connect(store: &Self::Store) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// Does all of `batch`; the outputs are in its order. The error means that the whole batch failed: the session is then
    /// asked whether it still works.
    fn run(&mut self, batch: &[Self::Input]) -> impl Future<Output = Outputs<Self::Output>> + Send;

    /// Asks whether the session still works for this kind of work. A store inside of this process need not be asked.
    fn ping(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Ends the session in order.
    fn close(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// An output for each input of a batch, or the error of the whole batch.
pub type Outputs<O> = Result<Vec<Result<O, StoreError>>, StoreError>;

/// The tasks of a process's stores.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    /// Every task, to wait for its end.
    pub tasks: TaskTracker,
    /// Cancelled, it ends each task once its queue is empty.
    pub stop: CancellationToken,
}

/// Sends inputs to the task that owns a connection, and receives one output for each. Cloning it clones a handle.
#[derive(Debug)]
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Request<I, O>>,
    arrivals: Arc<Arrivals>,
}

impl<I: Input, O: Send + 'static> Batcher<I, O> {
    /// Starts the task. It connects, and connects again after a loss; `status` tells how it goes.
    ///
    /// A reader follows its store's writer. When the writer has connected anew, the reader connects anew before its next batch.
    /// So no read uses a server from which the writer has disconnected.
    pub fn start<S: Session<Input = I, Output = O>>(
        store: S::Store,
        status: StatusSender,
        follows: Option<watch::Receiver<u64>>,
        workers: &Workers,
    ) -> Self {
        let (sender, queue) = mpsc::channel(CAPACITY);
        let arrivals = Arc::<Arrivals>::default();
        let now = Instant::now();
        let worker = Worker::<S> {
            store,
            queue,
            batch: Batch::default(),
            waiting_since: now,
            next_ping: now + INTERVAL,
            status,
            follows,
            followed: 0,
            linger: Linger::default(),
            arrivals: Arc::clone(&arrivals),
            stop: workers.stop.clone(),
        };
        workers.tasks.spawn(worker.run());
        Self { queue: sender, arrivals }
    }

    /// Waits for the batch that this input is in. A full queue and a store that is down are errors at once.
    pub async fn submit(&self, input: I) -> Result<O, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Request { input, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::Down,
        })?;
        self.arrivals.note(self.queue.max_capacity() - self.queue.capacity());
        answer.await.unwrap_or_else(|_| Err(StoreError::doing("run the batch")(Panicked)))
    }
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), arrivals: Arc::clone(&self.arrivals) }
    }
}

/// A defect of this program. All callers of the batch get this error, and the task continues.
#[derive(Debug, thiserror::Error)]
#[error("the task that does it has panicked")]
struct Panicked;

/// The task that owns a connection.
struct Worker<S: Session> {
    store: S::Store,
    queue: mpsc::Receiver<Request<S::Input, S::Output>>,
    /// What is being done, or what is to be done once there is a session again.
    batch: Batch<S::Input, S::Output>,
    /// No input in the batch or in the queue has waited since before this moment, except for the batch that ended then.
    waiting_since: Instant,
    next_ping: Instant,
    status: StatusSender,
    /// How often the writer of the store has connected, for its reader.
    follows: Option<watch::Receiver<u64>>,
    /// And how often it had when this session began.
    followed: u64,
    linger: Linger,
    arrivals: Arc<Arrivals>,
    stop: CancellationToken,
}

/// How the work on a session ended.
enum Ended<S> {
    /// The session was lost, or is to be left.
    Lost,
    /// The process stops, with a session or while there is none.
    Stopped(Option<S>),
}

impl<S: Session> Worker<S> {
    async fn run(mut self) {
        loop {
            match AssertUnwindSafe(self.connect_and_serve()).catch_unwind().await {
                Ok(Ended::Lost) => {}
                Ok(Ended::Stopped(session)) => {
                    self.batch.give_up();
                    if let Some(session) = session {
                        session.close().await;
                    }
                    return;
                }
                // The panic's own message is on standard error. The session may be in any state.
                Err(_) => self.batch.clear(),
            }
        }
    }

    async fn connect_and_serve(&mut self) -> Ended<S> {
        let stop = self.stop.clone();
        match stop.run_until_cancelled(self.connect()).await {
            Some(session) => self.serve(session).await,
            None => Ended::Stopped(None),
        }
    }

    /// Connects, and tries again until it succeeds. During the first attempt, inputs wait for a short time. Later, they are
    /// refused at once.
    async fn connect(&mut self) -> S {
        let mut refuse_from = self.waiting_since + CONNECT_LIMIT;
        loop {
            self.followed = self.connections_of_writer();
            let connecting = timeout(CONNECT_LIMIT, S::connect(&self.store));
            let connected =
                refusing_from(refuse_from, &mut self.batch, &mut self.queue, connecting).await;
            match connected.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(session) => {
                    self.status.connected();
                    let now = Instant::now();
                    if refuse_from <= now {
                        // The callers that waited have been refused.
                        self.waiting_since = now;
                    }
                    self.next_ping = now + INTERVAL;
                    return session;
                }
                Err(reason) => self.status.down(&reason),
            }
            refuse_from = Instant::now();
            refusing_from(refuse_from, &mut self.batch, &mut self.queue, sleep(INTERVAL)).await;
        }
    }

    /// Does what arrives, for as long as the session works.
    async fn serve(&mut self, mut session: S) -> Ended<S> {
        loop {
            if self.batch.is_empty() && !self.gather().await {
                return Ended::Stopped(Some(session));
            }
            if self.connections_of_writer() != self.followed {
                return Ended::Lost;
            }
            if !self.batch.is_empty() && !self.run_batch(&mut session).await {
                return Ended::Lost;
            }
            if self.next_ping <= Instant::now() && !self.ping(&mut session).await {
                return Ended::Lost;
            }
        }
    }

    /// Waits for inputs, or until it is time for a ping. `false` if the process stops.
    async fn gather(&mut self) -> bool {
        if self.queue.is_empty() {
            let arrived = tokio::select! {
                biased;
                request = self.queue.recv() => request,
                () = sleep_until(self.next_ping) => {
                    self.waiting_since = Instant::now();
                    return true;
                }
                () = self.stop.cancelled() => None,
            };
            self.waiting_since = Instant::now();
            let Some(request) = arrived else { return false };
            self.batch.push(request);
        }
        // First lets other tasks run: requests that have been read, and clients that have just been answered, can then put
        // their inputs into this batch. So batches are fewer and larger. Without load, this costs one turn of the scheduler.
        tokio::task::yield_now().await;
        if !self.queue.is_empty() {
            let mut arrived = Vec::with_capacity(self.queue.len());
            let room = CAPACITY - self.batch.inputs.len();
            self.queue.recv_many(&mut arrived, room).await;
            self.batch.extend(arrived);
        }
        true
    }

    /// Runs the batch. `false` if the session cannot be kept; the batch then has what is to be sent once more.
    async fn run_batch(&mut self, session: &mut S) -> bool {
        let (began, deadline) = (Instant::now(), self.waiting_since + BATCH_LIMIT);
        let outcome = timeout_at(deadline, session.run(&self.batch.inputs)).await;
        let kept = match outcome.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(outputs) => {
                let answered = outputs.len();
                self.batch.reply(outputs);
                self.await_callers(answered, began.elapsed()).await;
                true
            }
            Err(StoreError::TimedOut) => {
                // The store may still run the statement, so the session cannot be used again.
                self.batch.fail(&StoreError::TimedOut);
                false
            }
            Err(error) if self.ping(session).await => {
                self.batch.fail(&error);
                true
            }
            Err(error) => {
                self.batch.fail_unless_repeatable(&error);
                false
            }
        };
        if self.batch.is_empty() {
            self.waiting_since = Instant::now();
        }
        kept
    }

    /// Waits a moment for the callers that were just answered, if this saves round trips.
    async fn await_callers(&mut self, answered: usize, took: Duration) {
        let Some(pause) = self.linger.pause_after(answered, took) else { return };
        let before = self.queue.len();
        let awaited = (before + answered).min(CAPACITY);
        self.arrivals.wait_for(awaited, || self.queue.len(), pause).await;
        self.linger.learn((self.queue.len() - before) * 2 >= answered);
    }

    /// Whether the session still works.
    async fn ping(&mut self, session: &mut S) -> bool {
        let answer = timeout(PING_LIMIT, session.ping()).await.unwrap_or(Err(StoreError::TimedOut));
        self.next_ping = Instant::now() + INTERVAL;
        if let Err(reason) = &answer {
            tracing::debug!(reason = reason.chain(), "a session with a store was lost");
        }
        answer.is_ok()
    }

    fn connections_of_writer(&self) -> u64 {
        self.follows.as_ref().map_or(0, |writer| *writer.borrow())
    }
}

/// Does `work`, and from the moment `when` on gives up what waits, and answers every new input that the store is down.
async fn refusing_from<I: Input, O, W: Future>(
    when: Instant,
    batch: &mut Batch<I, O>,
    queue: &mut mpsc::Receiver<Request<I, O>>,
    work: W,
) -> W::Output {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = sleep_until(when) => batch.give_up(),
    }
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(request) = queue.recv() => drop(request.reply.send(Err(StoreError::Down))),
        }
    }
}

#[cfg(test)]
mod tests;
