//! Requests that are refused before an app is called.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use axum::response::IntoResponse;
use futures_util::FutureExt;

use super::HEAD_ROOM;
use crate::app::Answer;
use crate::observe::{Route, observe_as};
use crate::problem::Problem;

/// Why a request is refused, if it is.
pub(super) fn of(request: &Request<Body>, is_turned_away: bool) -> Option<Problem> {
    if size(request) > HEAD_ROOM {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some(Problem::new(
            status,
            "The head of the request is larger than 64 KiB. Send fewer or shorter header fields.",
        ));
    }
    if let Some(detail) = mistake_in_host(request.version(), request.headers()) {
        return Some(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let asks_for_health = matches!(request.uri().path(), "/livez" | "/readyz");
    (is_turned_away && !asks_for_health)
        .then(|| Problem::unavailable("Too many connections are open. The request was not handled, and a vote was not counted."))
}

/// Why a request with a body is refused while there are too many of them.
pub(super) fn too_many_bodies() -> Problem {
    Problem::unavailable(
        "Too many requests with a body are open. The request was not handled, and a vote was not counted. A vote needs no body.",
    )
}

/// Refuses the request. Like every request, it has a line in the log and a measurement.
pub(super) fn answer(request: Request<Body>, problem: Problem) -> Answer {
    let refused = ([(header::CACHE_CONTROL, "no-store")], problem);
    observe_as(request, Route::Unmatched, |_| async { refused.into_response() }).boxed()
}

/// The bytes of the head, but for the method and a few spaces.
fn size(request: &Request<Body>) -> usize {
    let fields = request.headers().iter();
    let fields: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    request.uri().path_and_query().map_or(0, |path| path.as_str().len()) + fields
}

/// What is wrong with `Host` by RFC 9112 section 3.2. A client of HTTP/1.0, such as a health check, need not send it.
fn mistake_in_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => Some("The Host field is missing. Send one."),
        (Some(_), Some(_)) => Some("There is more than one Host field. Send exactly one."),
        (Some(host), None) if is_host(host) => None,
        (Some(_), None) => Some("The Host field is malformed. Send a host, or host:port."),
    }
}

/// Whether it is `uri-host [ ":" port ]` (RFC 3986 section 3.2.2) by its letters, or empty.
fn is_host(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    let (name, port) = match bytes.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(colon) if bytes[colon] == b':' => (&bytes[..colon], &bytes[colon + 1..]),
        _ => (bytes, &[][..]),
    };
    let name = match name {
        [b'[', address @ .., b']'] => return is_port(port) && is_address(address),
        name => name,
    };
    let is_of_a_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    is_port(port) && name.iter().all(is_of_a_name)
}

fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit)
}

fn is_address(address: &[u8]) -> bool {
    !address.is_empty()
        && address.iter().all(|byte| byte.is_ascii_alphanumeric() || b".:-_~%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for host in [
            "",
            "yelb",
            "yelb:80",
            "yelb:",
            "a_b.example.com",
            "192.0.2.1:8080",
            "[::1]",
            "[::1]:80",
            "xn--bcher-kva.example",
            "a%20b",
        ] {
            assert!(is_host(&HeaderValue::from_static(host)), "{host:?}");
        }
        for host in [
            "a b", "a/b", "http://a", "user@a", "a:b", "a:80:80", "[::1", "::1", "[]", "a,b c",
            "a?b", "a#b", "[::1]80", "\\", "<a>",
        ] {
            assert!(!is_host(&HeaderValue::from_static(host)), "{host:?}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"\xff").unwrap()));
    }
}
