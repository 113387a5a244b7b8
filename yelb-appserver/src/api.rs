//! The handlers. Each is three moves: take, call, shape.
//!
//! Bodies are the same as the original's, byte for byte, with the same spaces, because clients compare them.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use yelb_db::{Vote, VoteKey};
use yelb_poll::{ChoiceId, Poll};

use crate::error::ApiError;
use crate::live::Live;
use crate::stores::{PageViews, Votes};

/// The name of the host that answers: the container's or the machine's.
#[derive(Debug, Clone)]
pub struct Hostname {
    name: Arc<str>,
    in_header: Option<HeaderValue>,
}

impl Hostname {
    /// The name of this host.
    pub fn of_this_host() -> Self {
        Self::new(&gethostname::gethostname().to_string_lossy())
    }

    fn new(name: &str) -> Self {
        Self { name: name.into(), in_header: HeaderValue::from_str(name).ok() }
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name as a header's value; none if it has characters that a header cannot have.
    pub fn in_header(&self) -> Option<HeaderValue> {
        self.in_header.clone()
    }
}

/// `GET` and `POST /api/{restaurant}`: counts a vote, answers with the count that it made.
///
/// A `GET` writes here, because the original's page and its users' scripts vote this way.
pub async fn cast(
    State(votes): State<Votes>,
    choice: ChoiceId,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<impl IntoResponse, ApiError> {
    let count = votes.record(Vote { choice, key }).await?;
    Ok(Text(count.to_string()))
}

/// The `Idempotency-Key` of a vote, if it has one (IETF draft-ietf-httpapi-idempotency-key-header).
pub struct IdempotencyKey(Option<VoteKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut fields = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = fields.next() else { return Ok(Self(None)) };
        // Two fields with this name are a list (RFC 9110 section 5.3), and a key must not be a list.
        let text = if fields.next().is_none() { value.to_str().unwrap_or_default() } else { "" };
        let key = text.parse().map_err(ApiError::InvalidKey)?;
        Ok(Self(Some(key)))
    }
}

/// `GET /api/getvotes`: all counts.
pub async fn tally(
    State(poll): State<Poll>,
    State(votes): State<Votes>,
) -> Result<impl IntoResponse, ApiError> {
    let tally = votes.tally().await?;
    Ok(Json(list(&poll, tally.counts())))
}

/// `GET /api/pageviews`: counts a page view, answers with the count that it made.
pub async fn view(State(page_views): State<PageViews>) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.count().await?;
    Ok(Json(count.to_string()))
}

/// `GET /api/getstats`: counts a page view, answers with the new count and the host's name.
pub async fn view_stats(
    State(page_views): State<PageViews>,
    State(hostname): State<Hostname>,
) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.count().await?;
    Ok(Json(stats(&hostname, count)))
}

/// `GET /api/hostname`: the name of the host. As in the original, the content type is JSON, but the body is not.
pub async fn hostname(State(hostname): State<Hostname>) -> impl IntoResponse {
    Json(hostname.name.to_string())
}

/// `GET /api/stream`: votes, page views and the stores that are down, as they change.
pub async fn watch(State(live): State<Live>) -> Response {
    live.answer()
}

/// `[{"name": "a", "value": 1},{"name": "b", "value": 2}, {"name": "c", "value": 3}]`: with a space before the last one,
/// and nowhere else between two.
pub(crate) fn list(poll: &Poll, counts: &[i64]) -> String {
    // Room for the original's names and counts below a million.
    let mut list = String::with_capacity(160);
    list.push('[');
    for (place, (choice, count)) in poll.choices().iter().zip(counts).enumerate() {
        match place {
            0 => {}
            last if last + 1 == counts.len() => list.push_str(", "),
            _ => list.push(','),
        }
        // Writing to a string cannot fail.
        let _ = write!(list, r#"{{"name": "{}", "value": {count}}}"#, choice.id);
    }
    list.push(']');
    list
}

fn stats(Hostname { name, .. }: &Hostname, page_views: i64) -> String {
    format!(r#"{{"hostname": "{name}", "pageviews":{page_views}}}"#)
}

/// `HEAD` of a vote.
pub async fn head_of_text() -> Response {
    head(TEXT)
}

/// `HEAD` of the votes, the page views or the stats.
pub async fn head_of_json() -> Response {
    head(JSON)
}

/// `HEAD` of the stream.
pub async fn head_of_stream() -> Response {
    head("text/event-stream")
}

/// What `GET` answers without its length: no store is asked, so nothing is counted, and an outage of a store does not show
/// (RFC 9110 section 9.3.2 leaves the length out).
fn head(content_type: &'static str) -> Response {
    // A stream, because axum tells the length of what it knows to be empty.
    let body = Body::from_stream(stream::empty::<Result<Bytes, Infallible>>());
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The type that the original gives to what it calls JSON.
const JSON: &str = "application/json";
/// The type that it gives to a vote's answer.
const TEXT: &str = "text/html;charset=utf-8";

struct Json(String);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, JSON)], self.0).into_response()
    }
}

struct Text(String);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, TEXT)], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_the_spaces_of_the_original() {
        assert_eq!(
            list(&Poll::default(), &[11, 22, 44, 33]),
            r#"[{"name": "outback", "value": 11},{"name": "bucadibeppo", "value": 22},{"name": "ihop", "value": 44}, {"name": "chipotle", "value": 33}]"#
        );
    }

    #[test]
    fn the_stats_have_the_spaces_of_the_original() {
        assert_eq!(stats(&Hostname::new("vm"), 101), r#"{"hostname": "vm", "pageviews":101}"#);
    }

    #[test]
    fn a_name_that_no_header_can_have_is_left_out_of_it() {
        assert_eq!(Hostname::new("vm").in_header().unwrap(), "vm");
        assert_eq!(Hostname::new("v\nm").in_header(), None);
    }
}
