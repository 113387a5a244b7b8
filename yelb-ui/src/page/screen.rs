//! The big screen: the result for a projector, and the QR code of the page's address.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use yelb_service::problem::Problem;

use super::assets::{Asset, HTML, SVG};
use super::{Entry, Site, origin, qr};

/// The longest address that fits below the code in one line.
const ONE_LINE: usize = 18;

#[derive(Template)]
#[template(path = "screen.html")]
struct Screen<'a> {
    entries: &'a [Entry],
    files: &'a str,
    scripts: Vec<&'static str>,
    /// The page's address, as people type it.
    address: &'a str,
    is_long: bool,
}

/// `GET /screen`.
pub(super) async fn document(State(site): State<Arc<Site>>, request: HeaderMap) -> Response {
    let Some(address) = site.address(&request) else { return unknown() };
    // Browsers add `http://` by themselves, so the screen does not show it.
    let address = address.strip_prefix("http://").unwrap_or(&address).trim_end_matches('/');
    let screen = Screen {
        entries: &site.page.entries,
        files: &site.page.files,
        scripts: site.files.scripts(&super::OF_THE_PAGE).collect(),
        address,
        is_long: address.len() > ONE_LINE,
    };
    let body = screen.render().expect("a template of plain strings always renders");
    Asset::answer_fresh(HTML, body, &request)
}

/// `GET /screen/code.svg`.
pub(super) async fn code(State(site): State<Arc<Site>>, request: HeaderMap) -> Response {
    match site.address(&request).and_then(|address| qr::svg(&address).ok()) {
        Some(picture) => Asset::answer_fresh(SVG, picture, &request),
        None => unknown(),
    }
}

impl Site {
    /// The page's address, as the client of this request sees it. `None` if the request has no valid host.
    fn address(&self, request: &HeaderMap) -> Option<String> {
        let origin = origin::of(request);
        (!origin.is_empty()).then(|| format!("{origin}{}/", self.base_path.as_str()))
    }
}

fn unknown() -> Response {
    let detail = "The screen needs the page's address, but the Host header of this request is malformed. \
         Open the screen by a host name or an IP address.";
    Problem::new(StatusCode::BAD_REQUEST, detail).into_response()
}
