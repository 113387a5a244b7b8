//! What happens to a request before it meets a route.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
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

/// Middleware: refuses a query that the original refuses; all others are ignored.
pub async fn check_query(request: Request, next: Next) -> Response {
    match request.uri().query().unwrap_or_default() {
        "" => next.run(request).await,
        query if query.len() > QUERY_LIMIT => {
            last(Problem::new(StatusCode::BAD_REQUEST, "The query is longer than 10 KiB."))
        }
        query => match query::check(query) {
            Ok(()) => next.run(request).await,
            Err(invalid) => {
                Problem::new(StatusCode::BAD_REQUEST, invalid.to_string()).into_response()
            }
        },
    }
}

/// Middleware: reads the body to its end before anything is counted, and throws it away.
///
/// A request that turns out to be cut off or malformed in its last byte has then changed nothing.
pub async fn whole(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIME, discard(body)).await {
        Ok(Ok(())) => next.run(Request::from_parts(parts, Body::empty())).await,
        Ok(Err(problem)) => last(problem),
        Err(_) => {
            last(Problem::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive within 2 s."))
        }
    }
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

/// The last answer on its connection: what follows cannot be told from the rest of this request.
fn last(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
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
