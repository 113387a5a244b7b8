//! One stream of events for any number of viewers (server-sent events).
//!
//! All viewers share the newest event, which is encoded once. One that reads slowly gets the newest event once it has read the one
//! before it; those in between it never sees, and they take no memory.

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

/// A comment, which clients skip.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// From one event to the next: for a person's eye it is at once.
const PAUSE: Duration = Duration::from_millis(50);
/// What each viewer adds to the pause, so that many of them take a small part of the CPU's time: 10,000 see two events a second.
const PAUSE_PER_VIEWER: Duration = Duration::from_micros(50);

/// What is shown to the viewers of a stream.
#[derive(Debug, Default)]
pub struct Broadcast {
    shown: watch::Sender<Shown>,
    /// Told of each new viewer.
    joined: Notify,
}

#[derive(Debug, Clone)]
struct Shown {
    /// With its framing; empty if there is nothing to show yet.
    event: Bytes,
    /// Which event it is: a change without a new number is a heartbeat.
    number: u64,
    /// When something was sent last.
    at: Instant,
    is_over: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { event: Bytes::new(), number: 0, at: Instant::now(), is_over: false }
    }
}

impl Shown {
    /// What a viewer is sent who has seen the event of this number.
    fn after(self, seen: u64) -> Bytes {
        if self.event.is_empty() || self.number == seen { HEARTBEAT } else { self.event }
    }
}

impl Broadcast {
    /// The answer to a viewer: what is shown now, and all that is shown later.
    pub fn answer(&self) -> Response {
        let mut viewer = self.shown.subscribe();
        // What is there already is news to this one.
        viewer.mark_changed();
        self.joined.notify_waiters();
        let events = stream::unfold((viewer, 0), |(mut viewer, seen)| async move {
            viewer.changed().await.ok()?;
            let shown = viewer.borrow_and_update().clone();
            let number = shown.number;
            (!shown.is_over).then(|| (Ok::<_, Infallible>(shown.after(seen)), (viewer, number)))
        });
        let headers = [
            (header::CONTENT_TYPE.as_str(), "text/event-stream"),
            (header::CACHE_CONTROL.as_str(), "no-store"),
            // nginx would keep events until it has a buffer full of them.
            ("x-accel-buffering", "no"),
        ];
        (headers, Body::from_stream(events)).into_response()
    }

    /// Shows an event, with its framing, unless it is what is shown already.
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

    /// Runs `work`, which shows events, until this process takes no more connections. Then the streams of all viewers end.
    /// Whenever nothing was sent for as long as `silence`, a heartbeat is.
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

    /// Waits until there is a viewer. What was shown when there was one before is forgotten.
    pub async fn viewer(&self) {
        loop {
            // Before the look, so that one who joins after it is noticed.
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
        self.shown.closed()
    }

    /// Whether there is a viewer.
    pub fn is_viewed(&self) -> bool {
        self.shown.receiver_count() > 0
    }

    /// How long to wait from one event to the next.
    pub fn pause(&self) -> Duration {
        let viewers = u32::try_from(self.shown.receiver_count()).unwrap_or(u32::MAX);
        PAUSE.max(PAUSE_PER_VIEWER.saturating_mul(viewers))
    }

    /// Ends the streams of all viewers.
    pub fn end(&self) {
        self.shown.send_modify(|shown| shown.is_over = true);
    }

    /// Goes on after an end, for viewers to come.
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
    async fn a_viewer_sees_what_is_shown_and_of_what_it_missed_the_newest() {
        let broadcast = Broadcast::default();
        broadcast.show(event("one"));
        let mut viewer = broadcast.answer().into_body();
        assert_eq!(next(&mut viewer).await.unwrap(), "one");
        broadcast.show(event("two"));
        broadcast.show(event("three"));
        assert_eq!(next(&mut viewer).await.unwrap(), "three");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_heartbeats_which_hide_no_event() {
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
    async fn what_was_shown_to_others_before_is_not_shown_to_a_later_viewer() {
        let broadcast = Broadcast::default();
        let first = broadcast.answer();
        broadcast.show(event("old"));
        drop(first);
        let coming = async {
            tokio::task::yield_now().await;
            broadcast.answer().into_body()
        };
        // All who wait for a viewer are told.
        let (mut viewer, (), ()) = tokio::join!(coming, broadcast.viewer(), broadcast.viewer());
        assert_eq!(next(&mut viewer).await.unwrap(), HEARTBEAT);
        drop(viewer);
        broadcast.left().await;
    }

    #[tokio::test]
    async fn an_end_is_for_those_who_are_there_and_those_who_come_until_it_goes_on() {
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
