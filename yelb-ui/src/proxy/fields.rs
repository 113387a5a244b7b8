//! The fields of a request or an answer that is passed on.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use hyper::body::Body as _;

use crate::upstream::Origin;

/// Fields that belong to one connection, besides those that `Connection` names (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Addresses the request to the app server, and says on whose behalf it comes.
pub(super) fn of_request(request: &mut Request, peer: SocketAddr, origin: &Origin) {
    let length = request.body().size_hint().exact();
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    frame(headers, length);
    // The server in front of us has answered it.
    headers.remove(header::EXPECT);
    append(headers, FORWARDED_FOR, peer.ip().to_canonical().to_string());
    append(headers, header::VIA, "1.1 yelb-ui".to_owned());
    // The value of a load balancer in front is kept.
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(asked) = headers.insert(header::HOST, origin.host()) {
        headers.entry(FORWARDED_HOST).or_insert(asked);
    }
}

/// Says where the body ends in one way, whatever the client has said.
fn frame(headers: &mut HeaderMap, length: Option<u64>) {
    match length {
        Some(length) if headers.contains_key(header::CONTENT_LENGTH) => {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Some(_) => {}
        None => {
            headers.remove(header::CONTENT_LENGTH);
            // hyper takes a GET of unknown length for one without a body, unless it is told.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Adds to the end of a field that is a list.
fn append(headers: &mut HeaderMap, name: HeaderName, last: String) {
    let list = if headers.contains_key(&name) {
        let before = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
        before.chain([&*last]).collect::<Vec<_>>().join(", ")
    } else {
        last
    };
    if let Ok(list) = HeaderValue::try_from(list) {
        headers.insert(name, list);
    }
}
