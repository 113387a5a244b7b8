//! The page's files, and how one of them is answered.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::hash::{DefaultHasher, Hash, Hasher};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $content_type:expr) => {
        Asset::new(
            $path,
            $content_type,
            Bytes::from_static(include_bytes!(concat!("../..", $path))),
        )
    };
}

/// Everything the page loads.
pub(super) fn files() -> Vec<Asset> {
    let icon = file!("/static/icon.svg", SVG);
    vec![
        file!("/static/yelb.css", CSS),
        file!("/static/announce.js", JAVASCRIPT),
        file!("/static/api.js", JAVASCRIPT),
        file!("/static/ballot.js", JAVASCRIPT),
        file!("/static/chart.js", JAVASCRIPT),
        file!("/static/memory.js", JAVASCRIPT),
        file!("/static/standings.js", JAVASCRIPT),
        file!("/static/totals.js", JAVASCRIPT),
        file!("/static/visit.js", JAVASCRIPT),
        file!("/static/words.js", JAVASCRIPT),
        file!("/static/yelb.js", JAVASCRIPT),
        // For browsers that ask for it whatever the page says.
        Asset { path: "/favicon.ico", ..icon.clone() },
        icon,
    ]
}

/// The scripts, relative to the page.
pub(super) fn modules() -> impl Iterator<Item = &'static str> {
    files()
        .into_iter()
        .filter(|file| file.content_type == JAVASCRIPT)
        .map(|file| file.path.trim_start_matches('/'))
}

/// A file as it is served.
#[derive(Clone)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    content_type: &'static str,
    body: Bytes,
    /// A digest of the body: the same in every replica of one build, another one as soon as the file changes.
    digest: u64,
}

impl Asset {
    pub(super) fn html(path: &'static str, body: String) -> Self {
        Self::new(path, HTML, body.into())
    }

    fn new(path: &'static str, content_type: &'static str, body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self { path, content_type, body, digest: hasher.finish() }
    }

    /// 200 with the file, or 304 if the browser holds a copy of it.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let (status, etag, body) = match self.copy_held_by(request) {
            Some(etag) => (StatusCode::NOT_MODIFIED, etag, Body::empty()),
            None => (StatusCode::OK, self.etag(), Body::from(self.body.clone())),
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
            (header::ETAG, etag),
            // Ask each time: a new deployment shows at once, and an unchanged file costs a 304.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        (status, headers, body).into_response()
    }

    fn etag(&self) -> HeaderValue {
        quoted(&format!("{:016x}", self.digest))
    }

    /// The entity tag of the browser's copy, compressed or not, if it is one of this very file.
    fn copy_held_by(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let digest = format!("{:016x}", self.digest);
        request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
            .find_map(|tag| match tag {
                "*" => Some(self.etag()),
                _ if tag.split('-').next() == Some(&digest) => Some(quoted(tag)),
                _ => None,
            })
    }
}

/// Gives a compressed copy its own entity tag: a strong tag promises the same bytes.
pub(super) fn name_compressed_copy<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
    let etag = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    if let (Some(coding), Some(etag)) = (coding, etag) {
        let renamed = quoted(&format!("{}-{coding}", etag.trim_matches('"')));
        headers.insert(header::ETAG, renamed);
    }
    response
}

fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\""))
        .expect("a tag of a digest and a coding is visible ASCII")
}
