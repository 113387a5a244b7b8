//! What answers which request.

use axum::Router;
use axum::middleware::{Next, from_fn};
use yelb_service::health::Health;
use yelb_service::observe::observe;
use yelb_service::problem::Problem;
use yelb_service::server::App;

use crate::page;

/// The whole service: the page, and `api` for what begins with `/api/`.
pub fn app(api: App, health: &Health) -> App {
    let page = App::new(page(health));
    App::from_fn(move |request| {
        // To the letter, and not by a route: the router behind it would take its own routes for parts of that one.
        let app = if request.uri().path().starts_with("/api/") { &api } else { &page };
        app.answer(request)
    })
}

fn page(health: &Health) -> Router {
    page::router()
        .fallback(async || Problem::not_found())
        .layer(from_fn(async |request, next: Next| observe(request, |it| next.run(it)).await))
        .merge(health.routes())
}
