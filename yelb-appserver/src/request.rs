//! What happens to a request before it meets a route.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;
use yelb_service::problem::Problem;

use crate::query;

/// The longest query, in bytes, as in the original's server (Puma).
const QUERY_LIMIT: usize = 10 * 1024;
/// No route takes a body; this is what a client may send all the same.
const BODY_LIMIT: u64 = 64 * 1024;
/// How long it may take to send it.
const BODY_TIME: Duration = Duration::from_secs(2);

/// Writes escaped letters in the path as letters, so that `/api/%69hop` is `/api/ihop`.
///
/// Only what RFC 3986 calls unreserved, for which both spellings are the same address (section 6.2.2.2). An escaped slash
/// stays one, and a malformed escape stays what it is: neither meets a route.
pub fn with_plain_path(mut request: Request) -> Request {
    if request.uri().path().contains('%')
        && let Some(uri) = plain(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

fn plain(uri: &Uri) -> Option<Uri> {
    let mut path = query::unescape_where(uri.path(), |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    });
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// The request, if it may meet a route: its query is one that the original takes, and its body has been read to its end,
/// and is thrown away.
///
/// A request that turns out to be cut off or malformed in its last byte has then changed nothing.
pub async fn admitted(request: Request) -> Result<Request, Refusal> {
    check_query(request.uri().query().unwrap_or_default())?;
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    // In a box of its own: most requests have no body, and their futures no room for this.
    match Box::pin(timeout(BODY_TIME, discard(body))).await {
        Ok(Ok(())) => Ok(Request::from_parts(parts, Body::empty())),
        Ok(Err(problem)) => Err(Refusal::Last(problem)),
        Err(_) => Err(Refusal::Last(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not arrive within 2 s.",
        ))),
    }
}

/// Why a request does not meet a route.
#[derive(Debug)]
pub enum Refusal {
    /// What follows on the connection can be told from this request.
    Bad(Problem),
    /// It cannot: this is the last answer on the connection.
    Last(Problem),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(problem) => problem.into_response(),
            Self::Last(problem) => {
                ([(header::CONNECTION, HeaderValue::from_static("close"))], problem).into_response()
            }
        }
    }
}

/// Refuses a query that the original refuses; all others are ignored.
fn check_query(query: &str) -> Result<(), Refusal> {
    if query.len() > QUERY_LIMIT {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "The query is longer than 10 KiB.");
        return Err(Refusal::Last(problem));
    }
    query::check(query)
        .map_err(|invalid| Refusal::Bad(Problem::new(StatusCode::BAD_REQUEST, invalid.to_string())))
}

async fn discard(mut body: Body) -> Result<(), Problem> {
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB.");
    let mut received = 0;
    if body.size_hint().lower() > BODY_LIMIT {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let malformed =
            |_| Problem::new(StatusCode::BAD_REQUEST, "The body is malformed or was cut off.");
        received += frame.map_err(malformed)?.data_ref().map_or(0, |data| data.len() as u64);
        if received > BODY_LIMIT {
            return Err(too_large());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(sent: &str) -> String {
        let request = Request::get(sent).body(Body::empty()).unwrap();
        with_plain_path(request).uri().to_string()
    }

    #[test]
    fn escaped_letters_are_letters() {
        assert_eq!(path("/%61pi/%69hop?x=%69"), "/api/ihop?x=%69");
    }

    #[test]
    fn nothing_else_is_unescaped() {
        for sent in ["/api%2Fihop", "/api/ihop%", "/api/ihop%zz", "/api/%00", "/api/ih%C3%B6p"] {
            assert_eq!(path(sent), sent);
        }
    }
}
