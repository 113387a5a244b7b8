//! The steps before a request's route: the path is normalized, and the body is read.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;
use yelb_service::problem::Problem;

/// No route needs a body. If a client sends one, it may have this size.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(2);

/// Writes escaped letters in the path as letters, so that `/api/%69hop` is `/api/ihop`.
///
/// Only what RFC 3986 calls unreserved, for which both spellings are the same address (section 6.2.2.2). An escaped slash
/// stays one, and a malformed escape stays what it is: neither meets a route.
pub fn normalize_path(mut request: Request) -> Request {
    if request.uri().path().contains('%')
        && let Some(uri) = plain(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

fn plain(uri: &Uri) -> Option<Uri> {
    let mut path = unescape_unreserved(uri.path());
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn unescape_unreserved(path: &str) -> String {
    let mut parts = path.split('%');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped.filter(|byte| is_unreserved(*byte)) {
            Some(byte) => {
                unescaped.push(char::from(byte));
                unescaped.push_str(&part[2..]);
            }
            None => {
                unescaped.push('%');
                unescaped.push_str(part);
            }
        }
    }
    unescaped
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The request without its body, which is read to its end and thrown away.
///
/// So a request that is incomplete or malformed changes nothing.
pub async fn without_body(request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    // Boxed, so that the futures of requests without a body, which are most, stay small.
    match Box::pin(timeout(BODY_TIME, discard(body))).await {
        Ok(Ok(())) => Ok(Request::from_parts(parts, Body::empty())),
        Ok(Err(problem)) => Err(problem),
        Err(_) => {
            let detail = "The body did not arrive within 2 s. A vote was not counted. No route needs a body.";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

async fn discard(body: Body) -> Result<(), Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is larger than 64 KiB. A vote was not counted. No route needs a body.",
        )
    };
    // Before it is sent, if its length is told.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let mut body = Limited::new(body, BODY_LIMIT);
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_large()
            } else {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "The body is malformed or incomplete. A vote was not counted.",
                )
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(sent: &str) -> String {
        let request = Request::get(sent).body(Body::empty()).unwrap();
        normalize_path(request).uri().to_string()
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
