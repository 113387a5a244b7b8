//! Keeping a connection to a store: one task connects, watches, and connects again.
//!
//! Requests never connect. They take the connection that the keeper has, or learn at once that there is none, so that an
//! outage costs each of them nothing, and a store that comes back is not met by a crowd.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::health::Dependency;
use crate::problem::Chain;

/// How long the keeper waits for an answer: a store that accepts and stays silent is away, too.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// How long it takes at most to connect and log in.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How often it looks, and how long it pauses before it tries again.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the preparation of a store may take, a migration under somebody else's lock included.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
/// The longest pause between two attempts to prepare a store.
const PREPARE_PAUSE: Duration = Duration::from_secs(8);

/// A store as its keeper sees it.
pub trait Store: Send + Sync + 'static {
    /// What requests use, for example a pool.
    type Connection: Clone + Send + Sync + 'static;
    /// Why it could not be had.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Connects.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Asks the store whether it still answers.
    fn probe(
        &self,
        connection: &Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes sure that the store has what the process needs. Called again until it succeeds.
    fn prepare(
        &self,
        connection: &Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }
}

/// The connection that a keeper keeps. Cloning it clones a handle; the keeper ends with the last one.
#[derive(Debug, Clone)]
pub struct Link<C> {
    current: watch::Receiver<Option<C>>,
    doubt: Arc<Notify>,
    _keeper: Arc<AbortOnDrop>,
}

impl<C: Clone> Link<C> {
    /// The connection, if the store answered when last asked.
    pub fn connection(&self) -> Option<C> {
        self.current.borrow().clone()
    }

    /// Tells the keeper that a request met a failure, so that it looks now instead of at its next turn.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to keep a connection to `store`, and tells `dependency` how it goes.
pub fn keep<S: Store>(store: S, dependency: Dependency) -> Link<S::Connection> {
    let (publish, current) = watch::channel(None);
    let doubt = Arc::new(Notify::new());
    let keeper = Keeper { store, dependency, publish, doubt: Arc::clone(&doubt) };
    let task = tokio::spawn(keeper.run());
    Link { current, doubt, _keeper: Arc::new(AbortOnDrop(task.abort_handle())) }
}

struct Keeper<S: Store> {
    store: S,
    dependency: Dependency,
    publish: watch::Sender<Option<S::Connection>>,
    doubt: Arc<Notify>,
}

impl<S: Store> Keeper<S> {
    async fn run(self) {
        loop {
            match limited(CONNECT_LIMIT, self.store.connect()).await {
                Ok(connection) => {
                    self.publish.send_replace(Some(connection.clone()));
                    self.dependency.up();
                    // It may be no more than this session that was lost: requests keep theirs until
                    // connecting fails, too.
                    self.watch(connection).await;
                }
                Err(reason) => {
                    self.publish.send_replace(None);
                    self.dependency.away(reason);
                    sleep(INTERVAL).await;
                }
            }
        }
    }

    /// Looks after `connection` for as long as the store answers.
    async fn watch(&self, connection: S::Connection) {
        let mut preparation = Preparation::default();
        loop {
            if preparation.is_due() {
                preparation.tried(self.prepare(&connection).await);
            }
            let _ = timeout(INTERVAL, self.doubt.notified()).await;
            if let Err(reason) = limited(PROBE_LIMIT, self.store.probe(&connection)).await {
                tracing::debug!(reason, "a store did not answer its keeper");
                return;
            }
        }
    }

    async fn prepare(&self, connection: &S::Connection) -> bool {
        match limited(PREPARE_LIMIT, self.store.prepare(connection)).await {
            Ok(()) => {
                self.dependency.prepared();
                true
            }
            Err(reason) => {
                self.dependency.missing(&reason);
                false
            }
        }
    }
}

/// When to prepare a store: at once, and while that fails less and less often, because a migration
/// takes locks that votes wait for.
#[derive(Default)]
struct Preparation {
    next: Option<Instant>,
    pause: Duration,
    done: bool,
}

impl Preparation {
    fn is_due(&self) -> bool {
        !self.done && self.next.is_none_or(|next| next <= Instant::now())
    }

    fn tried(&mut self, done: bool) {
        self.done = done;
        self.pause = (self.pause * 2).clamp(INTERVAL, PREPARE_PAUSE);
        self.next = Some(Instant::now() + self.pause);
    }
}

/// What `work` gives, or why not, in words.
async fn limited<T, E: std::error::Error>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Default, Clone)]
    struct Fake {
        away: Arc<AtomicBool>,
        silent: Arc<AtomicBool>,
        session_lost: Arc<AtomicBool>,
        connects: Arc<AtomicUsize>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("refused")]
    struct Refused;

    impl Fake {
        async fn answer(&self) -> Result<(), Refused> {
            if self.silent.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.away.load(Ordering::Relaxed) { Err(Refused) } else { Ok(()) }
        }
    }

    impl Store for Fake {
        type Connection = usize;
        type Error = Refused;

        async fn connect(&self) -> Result<usize, Refused> {
            self.answer().await?;
            Ok(self.connects.fetch_add(1, Ordering::Relaxed))
        }

        async fn probe(&self, _: &usize) -> Result<(), Refused> {
            if self.session_lost.swap(false, Ordering::Relaxed) {
                return Err(Refused);
            }
            self.answer().await
        }
    }

    async fn connection_is(link: &mut Link<usize>, expected: Option<usize>) {
        let reached = link.current.wait_for(|current| *current == expected);
        timeout(Duration::from_mins(1), reached).await.expect("in time").expect("the keeper runs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_store_is_withdrawn_and_met_again() {
        let store = Fake::default();
        let mut link = keep(store.clone(), Dependency::new("fake", "test"));
        connection_is(&mut link, Some(0)).await;

        store.away.store(true, Ordering::Relaxed);
        connection_is(&mut link, None).await;

        store.away.store(false, Ordering::Relaxed);
        connection_is(&mut link, Some(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_is_replaced_without_an_outage() {
        let store = Fake::default();
        let mut link = keep(store.clone(), Dependency::new("fake", "test"));
        connection_is(&mut link, Some(0)).await;

        store.session_lost.store(true, Ordering::Relaxed);
        let next = link.current.wait_for(|current| *current != Some(0));
        assert_eq!(*next.await.unwrap(), Some(1), "not withdrawn in between");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_is_away() {
        let store = Fake::default();
        let dependency = Dependency::new("fake", "test");
        let mut link = keep(store.clone(), dependency.clone());
        connection_is(&mut link, Some(0)).await;

        store.silent.store(true, Ordering::Relaxed);
        connection_is(&mut link, None).await;
        tokio::task::yield_now().await;
        assert!(!dependency.is_up());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_last_link_ends_the_keeper() {
        let store = Fake::default();
        let mut link = keep(store.clone(), Dependency::new("fake", "test"));
        connection_is(&mut link, Some(0)).await;
        let mut current = link.current.clone();
        drop(link);
        assert!(
            timeout(Duration::from_mins(1), current.wait_for(Option::is_none))
                .await
                .expect("in time")
                .is_err()
        );
    }
}
