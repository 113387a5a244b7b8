//! Cross-origin access: everybody may read and vote, as in the original.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The fields of the original's answers, to the byte. `Accepts` is its spelling.
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization,Accepts,Content-Type,X-CSRF-Token,X-Requested-With");
/// What a browser may send after a preflight: the original's, which never passed one; the key of a vote; and its trace, which
/// agents for real user monitoring add to the requests of a page.
const PREFLIGHT_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization,Accepts,Content-Type,X-CSRF-Token,X-Requested-With,Idempotency-Key,traceparent,tracestate,X-Amzn-Trace-Id",
);
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET,POST,PUT,DELETE,OPTIONS");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
/// How long a browser may remember a preflight, in seconds. Chromium caps it at two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Lets scripts of other origins read an answer: a success, or a store's failure. The original says nothing on a 404.
pub fn allow(mut response: Response) -> Response {
    if response.status().is_success() || response.status().is_server_error() {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
        // A preflight has said already what there really is.
        headers.entry(header::ACCESS_CONTROL_ALLOW_HEADERS).or_insert(ALLOW_HEADERS);
        headers.entry(header::ACCESS_CONTROL_ALLOW_METHODS).or_insert(ALLOW_METHODS);
    }
    response
}

/// The answer to `OPTIONS`: what may be done here, for a client (`Allow`) and for a browser's preflight.
pub fn options(methods: &'static str) -> Response {
    let methods = HeaderValue::from_static(methods);
    let headers = [
        (header::ALLOW, methods.clone()),
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, PREFLIGHT_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
