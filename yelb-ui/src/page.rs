//! The page and the big screen: two documents and the files they load, all inside the binary.
//!
//! Nothing here knows the votes. The page's scripts ask the API for them, by URLs relative to the page, so that it also
//! works below a path of another site.

mod assets;
mod origin;
mod qr;
mod screen;

use std::sync::Arc;

use askama::Template;
use assets::{Asset, Files, HTML};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use yelb_poll::{Choice, ChoiceId, Poll};
use yelb_service::problem::Problem;

use crate::base_path::BasePath;
use crate::config::PageConfig;

/// The page may load from, talk to and be driven by its own server alone. `style-src 'self'` also forbids `style`
/// attributes in the page; what its scripts set is not concerned. Who may frame the page is added.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     manifest-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors ";

const DESCRIPTION: &str = "Where is lunch? One vote at a time.";

/// The scripts that only the page has.
const OF_THE_PAGE: [&str; 4] = ["card.js", "visit.js", "voting.js", "yelb.js"];
/// The scripts that only the big screen has.
const OF_THE_SCREEN: [&str; 3] = ["answers.js", "pace.js", "screen.js"];

/// What the template has in the place of scheme and host, which each request brings.
const ORIGIN: &str = "{origin}";

/// `GET /`, `/screen…`, `/favicon.ico` and `/static/…`. Any other path is left to the caller's fallback.
pub fn router(config: &PageConfig) -> Router {
    let policy = format!("{CONTENT_SECURITY_POLICY}{}", config.frame_ancestors);
    let policy = policy.parse().expect("its parts are of letters that a field may have");
    let routes = Router::new()
        .route("/", get(document))
        .route("/screen", get(screen::document))
        .route(
            "/screen/",
            get(Redirect::permanent(&format!("{}/screen", config.base_path.as_str()))),
        )
        .route("/screen/code.svg", get(screen::code))
        .route("/favicon.ico", get(favicon))
        .route("/static/{digest}/{name}", get(file))
        .with_state(Arc::new(Site::new(Poll::default(), &config.base_path)));

    // Outermost first. `route_layer`, not `layer`: the caller's fallback keeps its own headers.
    routes.route_layer((
        always(header::CONTENT_SECURITY_POLICY, policy),
        always(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        always(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        CompressionLayer::new(),
    ))
}

fn always(name: HeaderName, value: HeaderValue) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, value)
}

/// The documents and their files.
struct Site {
    page: Page,
    /// The page as it is served, but for its origin.
    document: String,
    files: Files,
    base_path: BasePath,
}

impl Site {
    fn new(poll: Poll, base_path: &BasePath) -> Self {
        let files = Files::new();
        let page = Page::of(poll, &files, base_path);
        let document = page.render().expect("a template of plain strings always renders");
        Self { page, document, files, base_path: base_path.clone() }
    }
}

async fn document(State(site): State<Arc<Site>>, request: HeaderMap) -> Response {
    Asset::answer_fresh(HTML, site.document.replace(ORIGIN, &origin::of(&request)), &request)
}

/// For browsers that ask for it whatever the page says.
async fn favicon(State(site): State<Arc<Site>>, request: HeaderMap) -> Response {
    found(site.files.answer("", "icon.svg", &request))
}

async fn file(
    State(site): State<Arc<Site>>,
    Path((digest, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Response {
    found(site.files.answer(&digest, &name, &request))
}

fn found(file: Option<Response>) -> Response {
    file.unwrap_or_else(|| Problem::not_found().into_response())
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    /// In the order of the original's page.
    entries: Vec<Entry>,
    /// The class of the page's body: how much room a choice has.
    size: &'static str,
    /// Where the files are.
    files: String,
    /// The scripts that `yelb.js` imports, fetched together instead of one after the other.
    scripts: Vec<&'static str>,
    version: &'static str,
    description: &'static str,
    /// Scheme, host and base path.
    address: String,
}

/// A choice, and the number of its colour in the style sheet.
struct Entry {
    colour: usize,
    choice: &'static Choice,
}

impl Page {
    fn of(poll: Poll, files: &Files, base_path: &BasePath) -> Self {
        let entry = |(place, id): (usize, ChoiceId)| Entry {
            colour: place + 1,
            choice: &poll.choices()[id.index()],
        };
        Self {
            entries: poll.cards().enumerate().map(entry).collect(),
            size: match poll.choices().len() {
                0..=4 => "few",
                5..=8 => "many",
                _ => "many crowd",
            },
            files: files.folder(),
            scripts: files.scripts(&OF_THE_SCREEN).collect(),
            version: env!("CARGO_PKG_VERSION"),
            description: DESCRIPTION,
            address: format!("{ORIGIN}{}", base_path.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
