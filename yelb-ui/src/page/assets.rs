//! The page's files, and how one of them is answered.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
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
    /// A digest of the body, in quotes: the same in every replica of one build, another one as soon as the file changes.
    tag: String,
}

impl Asset {
    pub(super) fn html(path: &'static str, body: String) -> Self {
        Self::new(path, HTML, body.into())
    }

    fn new(path: &'static str, content_type: &'static str, body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self { path, content_type, body, tag: format!("\"{:016x}\"", hasher.finish()) }
    }

    /// 200 with the file, or 304 if the browser holds a copy of it.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.content_type),
            // Weak: one tag for all codings of the file (RFC 9110 section 8.8.1).
            (header::ETAG, &format!("W/{}", self.tag)),
            // Ask each time: a new deployment shows at once, and an unchanged file costs a 304.
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
        ];
        if self.is_held_by(request) {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, self.body.clone()).into_response()
        }
    }

    fn is_held_by(&self, request: &HeaderMap) -> bool {
        let lists = request.get_all(header::IF_NONE_MATCH).iter();
        let tags = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
        tags.map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == self.tag)
    }
}
