//! The live stream: totals, page views and the stores that are down, for as long as there are viewers.
//!
//! One task reads for all viewers, so that what the stores have to do grows neither with viewers nor with votes. While there is
//! no viewer it reads nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use yelb_db::{State, StatusReceiver, ViewStore, VoteStore};
use yelb_poll::Poll;
use yelb_service::broadcast::Broadcast;
use yelb_service::health::Health;

use crate::api::{self, Hostname};

/// A viewer that hears nothing three times as long takes this app server for down.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often votes are read that other app servers have counted.
const READ_EVERY: Duration = Duration::from_millis(400);
/// How often page views are read.
const READ_VIEWS_EVERY: Duration = Duration::from_secs(1);
/// The number of page views before it was read.
const UNKNOWN: i64 = -1;

/// The live stream. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Live(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    sources: Sources,
    broadcast: Broadcast,
    /// Told of each vote that this app server has counted.
    counted: Notify,
    page_views: AtomicI64,
}

/// What the stream is made of.
#[derive(Debug)]
pub struct Sources {
    /// What can be voted for.
    pub poll: Poll,
    /// The votes.
    pub votes: VoteStore,
    /// The page views.
    pub page_views: ViewStore,
    /// Who tells of them.
    pub hostname: Hostname,
}

impl Live {
    /// Starts the task that reads for all viewers. It ends their streams when this process takes no more connections.
    pub fn start(sources: Sources, health: &Health) -> Self {
        let (broadcast, counted) = (Broadcast::default(), Notify::new());
        let page_views = AtomicI64::new(UNKNOWN);
        let hub = Arc::new(Hub { sources, broadcast, counted, page_views });
        tokio::spawn(run(Arc::clone(&hub), health.clone()));
        Self(hub)
    }

    /// A vote was counted here.
    pub fn counted(&self) {
        if self.0.broadcast.is_viewed() {
            self.0.counted.notify_one();
        }
    }

    /// The answer to a viewer.
    pub fn answer(&self) -> Response {
        self.0.broadcast.answer()
    }
}

async fn run(hub: Arc<Hub>, health: Health) {
    let work = async {
        tokio::join!(hub.follow_votes(), hub.follow_page_views());
    };
    hub.broadcast.run(&health, HEARTBEAT, work).await;
}

impl Hub {
    async fn follow_votes(&self) {
        loop {
            self.broadcast.viewer().await;
            let began = Instant::now();
            let votes = self.votes().await;
            self.broadcast.show(self.event(votes));
            sleep_until(began + self.broadcast.pause()).await;
            // It is of no matter which comes first.
            let _ = timeout_at(began + READ_EVERY, self.counted.notified()).await;
        }
    }

    /// By themselves: a store of page views that does not answer must not hold up the votes.
    async fn follow_page_views(&self) {
        loop {
            if !self.broadcast.is_viewed() {
                self.page_views.store(UNKNOWN, Relaxed);
            }
            self.broadcast.viewer().await;
            let began = Instant::now();
            let page_views = self.sources.page_views.read().await.unwrap_or(UNKNOWN);
            self.page_views.store(page_views, Relaxed);
            sleep_until(began + READ_VIEWS_EVERY).await;
        }
    }

    /// The list of `/api/getvotes`; none while the votes cannot be read.
    async fn votes(&self) -> Option<String> {
        let tally = self.sources.votes.read().await.ok()?;
        Some(api::list(&self.sources.poll, tally.counts()))
    }

    fn event(&self, votes: Option<String>) -> Bytes {
        let Sources { votes: store, page_views: views, hostname, .. } = &self.sources;
        let votes = votes.unwrap_or_else(|| NONE.to_owned());
        let page_views = match self.page_views.load(Relaxed) {
            UNKNOWN => NONE.to_owned(),
            number => number.to_string(),
        };
        let down: Vec<_> = [store.status(), views.status()].iter().filter_map(if_down).collect();
        let (down, hostname) = (down.join(", "), hostname.name());
        format!(
            "data: {{\"votes\": {votes}, \"pageviews\": {page_views}, \"down\": [{down}], \"hostname\": \"{hostname}\"}}\n\n"
        )
        .into()
    }
}

const NONE: &str = "null";

/// The store's name as `/readyz` has it, in quotes.
fn if_down(store: &StatusReceiver) -> Option<String> {
    matches!(store.get().state, State::Down(_)).then(|| format!("\"{}\"", store.kind().keeps))
}
