//! One piece of work in flight; whatever arrives meanwhile joins the next.
//!
//! A store that is asked once for each request is asked a hundred thousand times for what it can do in a few hundred
//! statements, and makes the requests queue for one row. Here requests *join a round*: the round that is being gathered
//! while the one before it runs. So a store has at most one round of a kind to do at a time, and the slower it is, the
//! more a round does: its cost grows with time, not with requests.
//!
//! A round is run after everybody who joined it arrived. A read that joined is therefore never answered by a query older
//! than itself, and a write is never acknowledged before the store has it.

mod patience;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::patience::Patience;

/// How many may wait for one round. Beyond that a request is turned away at once: what waits costs memory, and would be
/// answered too late to be of use.
pub const CAPACITY: usize = 8192;

/// How long a round may take at its store. Longer than a statement may (1.8 s), short enough that the round that is under
/// way and one's own together end within the 5 s that a whole request may take.
pub const STORE_LIMIT: Duration = Duration::from_millis(2400);

/// What a round does.
pub trait Work: Send + Sync + 'static {
    /// All that those who joined want done.
    type Load: Default + Send;
    /// What they get to know.
    type Done: Send + Sync;
    /// Why it failed, for all of them.
    type Error: Send + Sync;

    /// Does it, once, for everybody. Limits its own time.
    fn run(&self, load: Self::Load)
    -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;
}

/// The rounds of one kind of work. Cloning it clones a handle.
pub struct Rounds<W: Work>(Arc<Shared<W>>);

struct Shared<W: Work> {
    work: W,
    gathering: Mutex<Gathering<W>>,
    /// As many have joined as are waited for.
    complete: Notify,
}

/// The round that has not begun.
struct Gathering<W: Work> {
    load: W::Load,
    joined: usize,
    /// How many would end the pause before it; 0 if there is none.
    awaited: usize,
    round: Arc<Round<W>>,
    /// Whether a task is running rounds, which will come to this one.
    driven: bool,
}

/// A round, as those who joined it see it.
struct Round<W: Work> {
    outcome: OnceLock<Outcome<W>>,
    over: Notify,
}

/// What became of a round.
type Outcome<W> = Result<<W as Work>::Done, RoundError<<W as Work>::Error>>;

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RoundError<E> {
    /// The work failed.
    #[error(transparent)]
    Failed(Arc<E>),
    /// Too many wait already.
    #[error("{CAPACITY} requests wait already")]
    Full,
    /// The task that ran it has panicked.
    #[error("the task that did the work has panicked")]
    Abandoned,
}

/// There is no room in the round that is gathered.
struct Full;

impl<E> Clone for RoundError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Full => Self::Full,
            Self::Abandoned => Self::Abandoned,
        }
    }
}

impl<W: Work> Rounds<W> {
    /// Rounds of `work`, none of which has begun.
    pub fn new(work: W) -> Self {
        let gathering = Gathering {
            load: W::Load::default(),
            joined: 0,
            awaited: 0,
            round: Arc::default(),
            driven: false,
        };
        Self(Arc::new(Shared { work, gathering: Mutex::new(gathering), complete: Notify::new() }))
    }

    /// Joins the next round: `add` puts one's own part into its load and keeps a ticket, by which `take` finds one's own
    /// part of what was done.
    ///
    /// Whoever stops waiting has joined all the same: the round is run.
    pub async fn join<T, A>(
        &self,
        add: impl FnOnce(&mut W::Load) -> T,
        take: impl FnOnce(T, &W::Done) -> A,
    ) -> Result<A, RoundError<W::Error>> {
        let (ticket, round) = self.enter(add).map_err(|Full| RoundError::Full)?;
        match round.outcome().await {
            Ok(done) => Ok(take(ticket, done)),
            Err(error) => Err(error.clone()),
        }
    }

    fn enter<T>(&self, add: impl FnOnce(&mut W::Load) -> T) -> Result<(T, Arc<Round<W>>), Full> {
        let mut gathering = self.0.lock();
        if gathering.joined == CAPACITY {
            return Err(Full);
        }
        let ticket = add(&mut gathering.load);
        gathering.joined += 1;
        if gathering.joined == gathering.awaited {
            self.0.complete.notify_waiters();
        }
        if !gathering.driven {
            gathering.driven = true;
            // A task of its own: the work goes on if this caller goes away.
            tokio::spawn(Arc::clone(&self.0).drive());
        }
        Ok((ticket, Arc::clone(&gathering.round)))
    }
}

impl<W: Work> Shared<W> {
    /// Runs rounds until nobody waits.
    async fn drive(self: Arc<Self>) {
        let mut patience = Patience::default();
        loop {
            // Whoever can join without waiting does so first: those whose request has been read, and those who have just been
            // answered and ask again. Rounds are fewer and larger for it, and at rest it costs a turn of the scheduler.
            tokio::task::yield_now().await;
            let Some((load, turn)) = self.begin() else { return };
            let (members, began) = (turn.members, Instant::now());
            let outcome = self.work.run(load).await;
            let took = outcome.is_ok().then(|| began.elapsed());
            turn.finish(outcome.map_err(|error| RoundError::Failed(Arc::new(error))));
            if let Some(pause) = took.and_then(|took| patience.pause_after(members, took)) {
                patience.learn(self.most_come_again(members, pause).await);
            }
        }
    }

    /// The round that was gathered, which is no longer open, or `None` and the end of the driving.
    fn begin(self: &Arc<Self>) -> Option<(W::Load, Turn<W>)> {
        let mut gathering = self.lock();
        gathering.awaited = 0;
        let members = std::mem::take(&mut gathering.joined);
        if members == 0 {
            gathering.driven = false;
            return None;
        }
        let load = std::mem::take(&mut gathering.load);
        let round = std::mem::take(&mut gathering.round);
        Some((load, Turn { shared: Arc::clone(self), round, members }))
    }

    /// Waits for those whom a round has `answered`, and says whether most of them came again.
    async fn most_come_again(&self, answered: usize, pause: Duration) -> bool {
        // Registered before anybody can be the last of them.
        let mut complete = pin!(self.complete.notified());
        complete.as_mut().enable();
        let before = {
            let mut gathering = self.lock();
            gathering.awaited = gathering.joined + answered;
            gathering.joined
        };
        // Whether all came or not, the next round begins.
        let _ = timeout(pause, complete).await;
        let came = self.lock().joined - before;
        came * 2 >= answered
    }

    fn lock(&self) -> MutexGuard<'_, Gathering<W>> {
        // Poisoned by a panic in somebody's `add`, which has then not been counted as joined.
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running of one round. Dropped before it is finished, it tells everybody that it was abandoned, so that a panic in
/// the work leaves nobody waiting, neither for this round nor for the next.
struct Turn<W: Work> {
    shared: Arc<Shared<W>>,
    round: Arc<Round<W>>,
    /// How many joined it.
    members: usize,
}

impl<W: Work> Turn<W> {
    fn finish(self, outcome: Outcome<W>) {
        self.round.end(outcome);
    }
}

impl<W: Work> Drop for Turn<W> {
    fn drop(&mut self) {
        if self.round.outcome.get().is_some() {
            return;
        }
        self.round.end(Err(RoundError::Abandoned));
        let next = {
            let mut gathering = self.shared.lock();
            gathering.driven = false;
            gathering.joined = 0;
            gathering.awaited = 0;
            gathering.load = W::Load::default();
            std::mem::take(&mut gathering.round)
        };
        next.end(Err(RoundError::Abandoned));
    }
}

impl<W: Work> Round<W> {
    fn end(&self, outcome: Outcome<W>) {
        // Only its one `Turn` ends a round.
        let _ = self.outcome.set(outcome);
        self.over.notify_waiters();
    }

    async fn outcome(&self) -> &Outcome<W> {
        loop {
            // Registered before the look, so that an end between the two is not missed.
            let over = self.over.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            over.await;
        }
    }
}

impl<W: Work> Default for Round<W> {
    fn default() -> Self {
        Self { outcome: OnceLock::new(), over: Notify::new() }
    }
}

impl<W: Work> Clone for Rounds<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Work> std::fmt::Debug for Rounds<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rounds").field("joined", &self.0.lock().joined).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
