//! The page's files, and how one of them is answered.
//!
//! They are served below a digest of them all, which is part of the page's links: browsers may cache a file for a year, and a
//! new build has new addresses. One digest for all, and not one for each, because scripts import each other by relative names.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const MANIFEST: &str = "application/manifest+json";
const PNG: &str = "image/png";
pub(super) const SVG: &str = "image/svg+xml";

/// Not even a reload asks for the file again (RFC 8246).
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// Browsers revalidate each time. So a new deployment shows at once, and an unchanged file is answered 304.
const ASK_EACH_TIME: &str = "no-cache";

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        (
            $name,
            Asset::new($content_type, include_bytes!(concat!("../../static/", $name)).as_slice()),
        )
    };
}

macro_rules! script {
    ($name:literal) => {
        (
            $name,
            Asset::new(JAVASCRIPT, without_comments(include_str!(concat!("../../static/", $name)))),
        )
    };
}

/// The script without the lines that are comments. They are for readers of the source; without them, the scripts of a first
/// visit are a third smaller when compressed. No line of code in the scripts begins like a comment.
fn without_comments(script: &str) -> String {
    let starts = ["//", "/*", "*"];
    let is_comment = |line: &str| starts.iter().any(|start| line.trim_start().starts_with(start));
    script.lines().filter(|line| !is_comment(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Everything the page loads.
pub(super) struct Files {
    files: Vec<(&'static str, Asset)>,
    digest: String,
}

impl Files {
    pub(super) fn new() -> Self {
        let files = vec![
            file!("yelb.css", CSS),
            file!("screen.css", CSS),
            file!("unscripted.css", CSS),
            script!("announce.js"),
            script!("answers.js"),
            script!("api.js"),
            script!("card.js"),
            script!("memory.js"),
            script!("order.js"),
            script!("pace.js"),
            script!("reading.js"),
            script!("result.js"),
            script!("screen.js"),
            script!("status.js"),
            script!("stream.js"),
            script!("totals.js"),
            script!("visit.js"),
            script!("voting.js"),
            script!("words.js"),
            script!("yelb.js"),
            file!("icon.svg", SVG),
            file!("touch-icon.png", PNG),
            file!("card.png", PNG),
            file!("manifest.webmanifest", MANIFEST),
        ];
        let digest = digest(files.iter().map(|(name, file)| (name, &file.tag)).collect::<Vec<_>>());
        Self { files, digest }
    }

    /// Where the files are, relative to the page.
    pub(super) fn folder(&self) -> String {
        format!("static/{}", self.digest)
    }

    /// The names of the scripts without those that only the other document has.
    pub(super) fn scripts(&self, others: &[&str]) -> impl Iterator<Item = &'static str> {
        let scripts = self.files.iter().filter(|(_, file)| file.content_type == JAVASCRIPT);
        scripts.map(|(name, _)| *name).filter(|name| !others.contains(name))
    }

    /// The file that a page of the build `digest` asks for, if there is one of that name.
    ///
    /// A page of another build, which another replica served, gets this build's file, and the browser does not cache it. A 404
    /// would be worse.
    pub(super) fn answer(&self, digest: &str, name: &str, request: &HeaderMap) -> Option<Response> {
        let (_, file) = self.files.iter().find(|(known, _)| *known == name)?;
        let caching = if digest == self.digest { FOR_GOOD } else { ASK_EACH_TIME };
        Some(file.answer(request, caching))
    }
}

/// A file as it is served.
pub(super) struct Asset {
    content_type: &'static str,
    body: Bytes,
    /// A digest of the body: the same in every replica of one build, another one as soon as the file changes.
    tag: String,
}

impl Asset {
    fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { content_type, tag: digest(&body), body }
    }

    /// What was made for this request.
    pub(super) fn answer_fresh(
        content_type: &'static str,
        body: String,
        request: &HeaderMap,
    ) -> Response {
        Self::new(content_type, body).answer(request, ASK_EACH_TIME)
    }

    /// 200 with the file, or 304 if the browser holds a copy of it.
    fn answer(&self, request: &HeaderMap, caching: &'static str) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.content_type),
            // Weak: one tag for all codings of the file (RFC 9110 section 8.8.1).
            (header::ETAG, &format!("W/\"{}\"", self.tag)),
            (header::CACHE_CONTROL, caching),
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
        let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|tag| tag == "*" || tag.trim_matches('"') == self.tag)
    }
}

fn digest(of: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
