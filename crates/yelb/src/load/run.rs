//! A load under way: what is sent, and what becomes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, Failure};
use super::dispatcher::{Arrival, Dispatcher};
use super::figures::{Confirmation, Figures};
use super::options::LoadOptions;
use super::schedule::Schedule;
use super::workload::Workload;

/// The pause before a vote is sent again. Short, because the vote keeps its slot meanwhile, and because the pause adds to
/// how long an outage seems to be.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A load under way.
pub(crate) struct Run {
    pub(crate) options: LoadOptions,
    pub(crate) workload: Workload,
    pub(crate) client: Client,
    pub(crate) dispatcher: Dispatcher,
    figures: Mutex<Figures>,
    tasks: TaskTracker,
    /// Requests on their way are given up.
    give_up: CancellationToken,
}

impl Run {
    /// A load that begins now.
    pub(crate) fn new(
        options: LoadOptions,
        schedule: Schedule,
        workload: Workload,
        client: Client,
    ) -> Arc<Self> {
        Arc::new(Self {
            dispatcher: Dispatcher::new(schedule, options.connections),
            figures: Mutex::new(Figures::new(workload.names.len())),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
            options,
            workload,
            client,
        })
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all of it, and returns when nothing is on its way any more. Whether Ctrl-C ended it.
    pub(crate) async fn to_end(self: &Arc<Self>) -> bool {
        let run = Arc::clone(self);
        self.tasks.spawn_blocking(move || run.dispatch(&Handle::current()));
        self.tasks.close();
        let grace = self.options.grace;
        let interrupted = self.is_interrupted(self.dispatcher.schedule.duration + grace).await;
        self.dispatcher.stop.cancel();
        if interrupted {
            self.is_interrupted(grace).await;
        }
        self.give_up.cancel();
        self.tasks.wait().await;
        interrupted
    }

    /// Waits until all is done or the limit is over; true if it is Ctrl-C that comes first.
    async fn is_interrupted(&self, limit: Duration) -> bool {
        tokio::select! {
            () = self.tasks.wait() => false,
            () = sleep(limit) => false,
            () = interrupt() => true,
        }
    }

    fn dispatch(self: &Arc<Self>, runtime: &Handle) {
        self.dispatcher.dispatch(runtime, |arrival, slot| {
            self.tasks.spawn_on(Arc::clone(self).request(arrival, slot), runtime);
        });
    }

    async fn request(self: Arc<Self>, arrival: Arrival, _slot: OwnedSemaphorePermit) {
        match self.workload.restaurant(arrival.number) {
            Some(restaurant) => self.vote(arrival, restaurant).await,
            None => self.read(arrival).await,
        }
    }

    async fn vote(&self, arrival: Arrival, restaurant: usize) {
        let mut sent = false;
        loop {
            let began = self.dispatcher.elapsed();
            let vote = self.send_vote(restaurant, arrival.number);
            let failure = match self.unless_given_up(vote).await {
                Ok(count) => return self.confirm(arrival, restaurant, count, began),
                Err(failure) => failure,
            };
            self.fail(&failure);
            if failure.is_final() && !sent {
                self.figures().refused += 1;
                return;
            }
            sent |= !matches!(failure, Failure::NotConnected(_));
            if failure.is_final() || !self.options.retry || self.give_up.is_cancelled() {
                break;
            }
            self.give_up.run_until_cancelled(sleep(RETRY_PAUSE)).await;
        }
        self.figures().unknown[restaurant] += u64::from(sent);
    }

    /// Sends the vote of this request once.
    pub(crate) async fn send_vote(&self, restaurant: usize, request: u64) -> Result<u64, Failure> {
        let key = (!self.options.no_keys).then(|| self.workload.key(request));
        let name = &self.workload.names[restaurant];
        self.client.vote(self.options.api(name), key.as_deref()).await
    }

    fn confirm(&self, arrival: Arrival, restaurant: usize, count: u64, began: Duration) {
        let mut figures = self.figures();
        figures.votes.record(arrival.due, began, self.dispatcher.elapsed());
        if self.options.verify {
            let confirmation = Confirmation { request: arrival.number, count };
            figures.confirmations[restaurant].push(confirmation);
        }
    }

    async fn read(&self, arrival: Arrival) {
        let began = self.dispatcher.elapsed();
        match self.unless_given_up(self.client.counts()).await {
            Ok(_) => self.figures().reads.record(arrival.due, began, self.dispatcher.elapsed()),
            Err(failure) => self.fail(&failure),
        }
    }

    /// An attempt that is given up when the grace is over.
    async fn unless_given_up<T>(
        &self,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.give_up.run_until_cancelled(attempt).await.unwrap_or(Err(Failure::Timeout))
    }

    fn fail(&self, failure: &Failure) {
        *self.figures().failures.entry(failure.to_string()).or_default() += 1;
    }
}

/// Returns at Ctrl-C.
pub(crate) async fn interrupt() {
    tokio::signal::ctrl_c().await.expect("the runtime receives signals");
}
