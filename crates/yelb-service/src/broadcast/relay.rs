//! Viewers whose connections are on one thread.

use std::sync::{Arc, Once};

use axum::response::Response;
use tokio::sync::watch;

use super::{Broadcast, Shown};

/// Passes the events of a [`Broadcast`] on to the viewers of one thread.
///
/// A task on the thread wakes them. If another thread woke them, each viewer would need a system call.
#[derive(Debug)]
pub struct Relay {
    broadcast: Arc<Broadcast>,
    shown: watch::Sender<Shown>,
    started: Once,
}

impl Relay {
    /// A relay of this broadcast.
    pub fn of(broadcast: Arc<Broadcast>) -> Arc<Self> {
        Arc::new(Self { broadcast, shown: watch::Sender::default(), started: Once::new() })
    }

    /// The response to a viewer: the newest event and all later events. The first caller's runtime is the one that wakes all
    /// viewers.
    pub fn answer(self: &Arc<Self>) -> Response {
        self.started.call_once(|| {
            let source = self.broadcast.shown.subscribe();
            self.shown.send_replace(source.borrow().clone());
            tokio::spawn(Arc::clone(self).run(source));
        });
        self.broadcast.answer_from(self.shown.subscribe())
    }

    /// As long as its runtime.
    async fn run(self: Arc<Self>, mut source: watch::Receiver<Shown>) {
        while source.changed().await.is_ok() {
            let shown = source.borrow_and_update().clone();
            self.shown.send_replace(shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use http_body_util::BodyExt;

    use super::*;

    async fn next(viewer: &mut Body) -> Option<Bytes> {
        Some(viewer.frame().await?.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn its_viewers_get_the_events_and_the_end_of_the_broadcast() {
        let broadcast = Arc::new(Broadcast::default());
        broadcast.show("one".into());
        let relay = Relay::of(Arc::clone(&broadcast));
        let mut viewer = relay.answer().into_body();
        assert_eq!(next(&mut viewer).await.unwrap(), "one");
        broadcast.show("two".into());
        assert_eq!(next(&mut viewer).await.unwrap(), "two");
        assert_eq!(next(&mut relay.answer().into_body()).await.unwrap(), "two");
        broadcast.end();
        assert_eq!(next(&mut viewer).await, None);
    }

    #[tokio::test]
    async fn its_viewers_are_viewers_of_the_broadcast() {
        let broadcast = Arc::new(Broadcast::default());
        let viewer = Relay::of(Arc::clone(&broadcast)).answer();
        assert!(broadcast.is_viewed());
        drop(viewer);
        broadcast.left().await;
        assert!(!broadcast.is_viewed());
    }
}
