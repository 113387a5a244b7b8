//! `GET /api/stream`: the app server's live stream, read once for all viewers of this process.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use yelb_service::broadcast::{Broadcast, Relay};
use yelb_service::health::Health;
use yelb_service::observe::{Route, observe_as};
use yelb_service::server::App;

use crate::contact::AppServerContact;
use crate::upstream::{Upstream, UpstreamError};

const PATH: &str = "/api/stream";
/// The time between heartbeats to viewers. It is below the 60 s after which a load balancer closes a silent connection.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// The app server sends a heartbeat each second. If three are missing, it is reported as down.
const SILENCE: Duration = Duration::from_secs(3);
/// The time from the beginning of one attempt to the next.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The time before an app server without a stream, such as the original's, is asked for a stream again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The most bytes to store without an end of an event. An event is smaller, also with many restaurants.
const MOST: usize = 256 * 1024;
const END_OF_EVENT: &[u8] = b"\n\n";
const DOWN: Bytes =
    Bytes::from_static(b"data: {\"votes\": null, \"down\": [\"yelb-appserver\"]}\n\n");

/// The live stream. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Live(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    upstream: Upstream,
    contact: AppServerContact,
    broadcast: Arc<Broadcast>,
    found: watch::Sender<Found>,
}

/// What is known of the app server's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Found {
    /// The app server was not asked yet.
    #[default]
    Unknown,
    /// The app server has a stream, or is down.
    Stream,
    Nothing,
}

/// Why yelb-ui stopped reading the app server's stream.
enum Ended {
    /// The stream ended, or its connection was lost.
    Cut,
    Silent,
    /// There is no viewer left.
    Unviewed,
}

impl Live {
    /// Starts the task that reads for all viewers, while there are viewers. It ends all streams when this process stops
    /// accepting connections.
    pub fn start(upstream: Upstream, contact: AppServerContact, health: &Health) -> Self {
        let (broadcast, found) = (Arc::default(), watch::Sender::default());
        let hub = Arc::new(Hub { upstream, contact, broadcast, found });
        tokio::spawn(run(Arc::clone(&hub), health.clone()));
        Self(hub)
    }

    /// Answers requests for the stream, for the connections of one worker. All other requests go to `api`.
    #[must_use]
    pub fn before(self, api: App) -> App {
        let relay = Relay::of(Arc::clone(&self.0.broadcast));
        App::from_fn(move |request| {
            if request.method() != Method::GET || request.uri().path() != PATH {
                return api.answer(request);
            }
            let (hub, relay) = (Arc::clone(&self.0), Arc::clone(&relay));
            let answer = move |_: Request| async move { hub.answer(&relay).await };
            observe_as(request, Route::Known(PATH), answer).boxed()
        })
    }
}

async fn run(hub: Arc<Hub>, health: Health) {
    hub.broadcast.run(&health, HEARTBEAT, hub.follow()).await;
    // One who waits for the answer gets a stream that has ended, and asks the next server.
    hub.found.send_replace(Found::Stream);
}

impl Hub {
    async fn answer(&self, relay: &Arc<Relay>) -> Response {
        // From now on there is a viewer. So the task asks the app server.
        let mut answer = relay.answer();
        let any_origin = HeaderValue::from_static("*");
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any_origin);
        match self.found.subscribe().wait_for(|found| *found != Found::Unknown).await.as_deref() {
            Ok(Found::Stream) => answer,
            // 204 makes a browser stop trying (the standard of `EventSource`).
            _ => (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response(),
        }
    }

    async fn follow(&self) {
        let mut heard_until = None;
        loop {
            if !self.broadcast.is_viewed() {
                self.found.send_replace(Found::Unknown);
            }
            self.broadcast.viewer().await;
            let began = Instant::now();
            match self.subscribe().await {
                Ok(stream) if is_stream(&stream) => {
                    self.found.send_replace(Found::Stream);
                    match self.pass_on(stream.into_body()).await {
                        Ended::Unviewed => continue,
                        Ended::Cut => heard_until = Some(Instant::now()),
                        Ended::Silent => {
                            self.contact.down(&"no heartbeat on its live stream for 3 s");
                            self.broadcast.show(DOWN);
                        }
                    }
                }
                Ok(other) if !other.status().is_server_error() => self.do_without().await,
                _ => self.show_down_after(heard_until),
            }
            sleep_until(began + TRY_AGAIN).await;
        }
    }

    /// Not at once after a stream: another app server behind the same name may answer a moment later.
    fn show_down_after(&self, heard_until: Option<Instant>) {
        self.found.send_replace(Found::Stream);
        if heard_until.is_none_or(|at| at.elapsed() >= SILENCE) {
            self.broadcast.show(DOWN);
        }
    }

    async fn subscribe(&self) -> Result<Response, UpstreamError> {
        let origin = self.upstream.origin();
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = origin.target(&PATH.parse().expect("a path")).expect("a path");
        request.headers_mut().insert(header::HOST, origin.host());
        self.upstream.call(request).await
    }

    /// Ends all streams, and lets new requests for one be answered 204. Browsers then poll the totals.
    async fn do_without(&self) {
        self.found.send_replace(Found::Nothing);
        self.broadcast.end();
        sleep(ASK_AGAIN).await;
        self.found.send_replace(Found::Unknown);
        self.broadcast.begin_again();
    }

    /// Sends the newest event to the viewers. The more viewers there are, the longer is the pause between two events.
    async fn pass_on(&self, mut stream: Body) -> Ended {
        let (mut received, mut newest) = (Vec::new(), None);
        let mut silent_at = Instant::now() + SILENCE;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                frame = timeout_at(silent_at, stream.frame()) => match frame {
                    Ok(Some(Ok(frame))) => {
                        silent_at = Instant::now() + SILENCE;
                        received.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                        newest = newest_of(&mut received).or(newest);
                        if received.len() > MOST {
                            return Ended::Cut;
                        }
                    }
                    Ok(_) => {
                        if let Some(event) = newest {
                            self.broadcast.show(event);
                        }
                        return Ended::Cut;
                    }
                    Err(_) => return Ended::Silent,
                },
                () = sleep_until(next), if newest.is_some() => {
                    if let Some(event) = newest.take() {
                        self.broadcast.show(event);
                    }
                    next = Instant::now() + self.broadcast.pause();
                }
                () = self.broadcast.left() => return Ended::Unviewed,
            }
        }
    }
}

fn is_stream(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_events = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/event-stream");
    response.status() == StatusCode::OK && content_type.is_some_and(is_events)
}

/// Removes the complete events from `received` and returns the newest one. A comment is not an event.
fn newest_of(received: &mut Vec<u8>) -> Option<Bytes> {
    let mut newest = None;
    while let Some(at) = received.windows(END_OF_EVENT.len()).position(|end| end == END_OF_EVENT) {
        let event: Bytes = received.drain(..at + END_OF_EVENT.len()).collect();
        if !event.starts_with(b":") {
            newest = Some(event);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_event_is_returned_and_the_rest_stays() {
        let mut received = b"data: 1\n\n:\n\ndata: 2\n\n:\n\nda".to_vec();
        assert_eq!(newest_of(&mut received).unwrap(), "data: 2\n\n");
        assert_eq!(received, b"da");
        received.extend_from_slice(b"ta: 3\n\n");
        assert_eq!(newest_of(&mut received).unwrap(), "data: 3\n\n");
        received.extend_from_slice(b":\n\n");
        assert_eq!(newest_of(&mut received), None);
    }
}
