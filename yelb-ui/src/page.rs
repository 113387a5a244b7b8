//! The page: one document and the files it loads, all inside the binary.
//!
//! Nothing here knows the votes. The page's scripts ask the API for them, by URLs relative to the page, so that it also
//! works under a path of somebody else's site.

mod assets;

use askama::Template;
use assets::Asset;
use axum::extract::Request;
use axum::{Router, routing};
use http::{HeaderName, HeaderValue, header};
use std::future;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use yelb_poll::{Choice, ChoiceId, Poll};

/// The page may load from, talk to and be driven by its own server alone. `style-src 'self'` also forbids `style`
/// attributes, which is why the chart is drawn with SVG attributes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`, `/favicon.ico` and `/static/…`. Any other path is left to the caller's fallback.
pub fn router() -> Router {
    let document = Asset::html(
        "/",
        Page::of(Poll::default()).render().expect("a template of plain strings always renders"),
    );
    let routes =
        assets::files().into_iter().chain([document]).fold(Router::new(), |routes, asset| {
            let path = asset.path;
            routes.route(
                path,
                routing::get(move |request: Request| {
                    future::ready(asset.answer(request.headers()))
                }),
            )
        });

    // Outermost first. `route_layer`, not `layer`: the caller's fallback keeps its own headers.
    routes.route_layer((
        always(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        always(header::REFERRER_POLICY, "no-referrer"),
        CompressionLayer::new(),
    ))
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    /// In the order of the original's page.
    cards: Vec<Entry>,
    /// In the order of the API's `getvotes`.
    columns: Vec<Entry>,
    /// The scripts that `yelb.js` imports, fetched together instead of one after the other.
    modules: Vec<&'static str>,
    version: &'static str,
}

/// A choice, and the number of its colours in the style sheet.
struct Entry {
    colour: usize,
    choice: &'static Choice,
}

impl Page {
    fn of(poll: Poll) -> Self {
        let entry =
            |id: ChoiceId| Entry { colour: id.index(), choice: &poll.choices()[id.index()] };
        Self {
            cards: poll.cards().map(entry).collect(),
            columns: poll.ids().map(entry).collect(),
            modules: assets::modules().collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[cfg(test)]
mod tests;
