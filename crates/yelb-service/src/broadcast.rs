//! One stream of events for any number of viewers (server-sent events).
//!
//! All viewers share the newest event, which is encoded once. When a slow viewer has read one event, it gets the newest event
//! next. It never sees the events in between, and they take no memory.

mod relay;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::health::Health;
pub use relay::Relay;

/// A comment in the stream's syntax. Clients ignore it.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// The least time between two events. People see a change after this time as immediate.
const PAUSE: Duration = Duration::from_millis(50);
/// Each viewer adds this to the pause, so that many viewers take a small part of the CPU time. 10,000 viewers get two events a
/// second.
const PAUSE_PER_VIEWER: Duration = Duration::from_micros(50);

/// Sends the newest event of a stream to all its viewers.
#[derive(Debug, Default)]
pub struct Broadcast {
    shown: watch::Sender<Shown>,
    /// Has a receiver for each viewer.
    viewers: watch::Sender<()>,
    /// Notified when a viewer joins.
    joined: Notify,
}

#[derive(Debug, Clone)]
struct Shown {
    /// The event with its framing, or empty if there is no event yet.
    event: Bytes,
    /// The number of the event. If `shown` changes and the number does not, viewers get a heartbeat.
    number: u64,
    /// The time of the last event or heartbeat.
    at: Instant,
    is_over: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { event: Bytes::new(), number: 0, at: Instant::now(), is_over: false }
    }
}

impl Shown {
    /// What to send to a viewer that has seen the event with this number.
    fn after(self, seen: u64) -> Bytes {
        if self.event.is_empty() || self.number == seen { HEARTBEAT } else { self.event }
    }
}

impl Broadcast {
    /// The response to a viewer: the newest event and all later events.
    pub fn answer(&self) -> Response {
        self.answer_from(self.shown.subscribe())
    }

    fn answer_from(&self, mut source: watch::Receiver<Shown>) -> Response {
        let viewer = self.viewers.subscribe();
        self.joined.notify_waiters();
        // The event that exists already is new to this viewer.
        source.mark_changed();
        let events = stream::unfold((viewer, source, 0), |(viewer, mut source, seen)| async move {
            source.changed().await.ok()?;
            let shown = source.borrow_and_update().clone();
            let number = shown.number;
            let next = (viewer, source, number);
            (!shown.is_over).then(|| (Ok::<_, Infallible>(shown.after(seen)), next))
        });
        let headers = [
            (header::CONTENT_TYPE.as_str(), "text/event-stream"),
            (header::CACHE_CONTROL.as_str(), "no-store"),
            // nginx would keep events until it has a buffer full of them.
            ("x-accel-buffering", "no"),
        ];
        (headers, Body::from_stream(events)).into_response()
    }

    /// Sends an event, with its framing, to all viewers, unless it equals the last one.
    pub fn show(&self, event: Bytes) {
        self.shown.send_if_modified(|shown| {
            let is_new = shown.event != event;
            if is_new {
                shown.event = event;
                shown.number += 1;
                shown.at = Instant::now();
            }
            is_new
        });
    }

    /// Runs `work`, which shows events, until this process accepts no more connections. Then it ends the streams of all viewers.
    /// Sends a heartbeat each time nothing was sent for the duration `silence`.
    pub async fn run(&self, health: &Health, silence: Duration, work: impl Future<Output = ()>) {
        tokio::select! {
            () = health.closed() => {}
            () = self.keep_alive(silence) => {}
            () = work => {}
        }
        self.end();
    }

    async fn keep_alive(&self, silence: Duration) {
        loop {
            let due = self.shown.borrow().at + silence;
            sleep_until(due).await;
            self.shown.send_if_modified(|shown| {
                let is_due = shown.at + silence <= Instant::now();
                if is_due {
                    shown.at = Instant::now();
                }
                is_due
            });
        }
    }

    /// Waits until there is a viewer. If there is none at first, the last event is deleted: it would be old for the next
    /// viewer.
    pub async fn viewer(&self) {
        loop {
            // Subscribed before the check, so that a viewer that joins right after the check is noticed.
            let joined = self.joined.notified();
            if self.is_viewed() {
                return;
            }
            self.shown.send_modify(|shown| shown.event = Bytes::new());
            joined.await;
        }
    }

    /// Waits until there is no viewer.
    pub fn left(&self) -> impl Future<Output = ()> {
        self.viewers.closed()
    }

    /// Whether there is a viewer.
    pub fn is_viewed(&self) -> bool {
        self.viewers.receiver_count() > 0
    }

    /// How long to wait between two events.
    pub fn pause(&self) -> Duration {
        let viewers = u32::try_from(self.viewers.receiver_count()).unwrap_or(u32::MAX);
        PAUSE.max(PAUSE_PER_VIEWER.saturating_mul(viewers))
    }

    /// Ends the streams of all viewers.
    pub fn end(&self) {
        self.shown.send_modify(|shown| shown.is_over = true);
    }

    /// Accepts viewers again after [`Self::end`]; the last event is deleted.
    pub fn begin_again(&self) {
        self.shown.send_modify(|shown| {
            shown.is_over = false;
            shown.event = Bytes::new();
        });
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(1);

    fn event(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    async fn next(viewer: &mut Body) -> Option<Bytes> {
        Some(viewer.frame().await?.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn a_viewer_gets_the_last_event_and_then_the_newest() {
        let broadcast = Broadcast::default();
        broadcast.show(event("one"));
        let mut viewer = broadcast.answer().into_body();
        assert_eq!(next(&mut viewer).await.unwrap(), "one");
        broadcast.show(event("two"));
        broadcast.show(event("three"));
        assert_eq!(next(&mut viewer).await.unwrap(), "three");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_has_heartbeats_and_they_replace_no_event() {
        let broadcast = Broadcast::default();
        let mut viewer = broadcast.answer().into_body();
        assert_eq!(next(&mut viewer).await.unwrap(), HEARTBEAT);
        broadcast.show(event("one"));
        tokio::select! {
            () = broadcast.keep_alive(SILENCE) => {}
            () = tokio::time::sleep(SILENCE * 3) => {}
        }
        assert_eq!(next(&mut viewer).await.unwrap(), "one");
        broadcast.show(event("one"));
        tokio::select! {
            () = broadcast.keep_alive(SILENCE) => {}
            beat = next(&mut viewer) => assert_eq!(beat.unwrap(), HEARTBEAT),
        }
    }

    #[tokio::test]
    async fn an_event_from_before_a_time_without_viewers_is_not_sent() {
        let broadcast = Broadcast::default();
        let first = broadcast.answer();
        broadcast.show(event("old"));
        drop(first);
        let coming = async {
            tokio::task::yield_now().await;
            broadcast.answer().into_body()
        };
        // Both tasks that wait for a viewer are woken.
        let (mut viewer, (), ()) = tokio::join!(coming, broadcast.viewer(), broadcast.viewer());
        assert_eq!(next(&mut viewer).await.unwrap(), HEARTBEAT);
        drop(viewer);
        broadcast.left().await;
    }

    #[tokio::test]
    async fn after_an_end_no_viewer_gets_events_until_it_begins_again() {
        let broadcast = Broadcast::default();
        broadcast.show(event("one"));
        let mut viewers = [broadcast.answer().into_body(), Body::empty()];
        broadcast.end();
        viewers[1] = broadcast.answer().into_body();
        for viewer in &mut viewers {
            assert_eq!(next(viewer).await, None);
        }
        broadcast.begin_again();
        assert_eq!(next(&mut broadcast.answer().into_body()).await.unwrap(), HEARTBEAT);
    }

    #[test]
    fn the_more_viewers_the_longer_the_pause() {
        let broadcast = Broadcast::default();
        assert_eq!(broadcast.pause(), PAUSE);
        let _viewers: Vec<_> = (0..2000).map(|_| broadcast.answer()).collect();
        assert_eq!(broadcast.pause(), Duration::from_millis(100));
    }
}
