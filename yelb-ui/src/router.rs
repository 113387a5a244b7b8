//! What answers which request.

use std::future;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect};
use yelb_service::health::Health;
use yelb_service::observe::observe;
use yelb_service::problem::Problem;
use yelb_service::server::App;

use crate::answers::Answers;
use crate::config::PageConfig;
use crate::page;

/// The whole service: the page, and `api` for what begins with `/api/`.
pub fn app(api: App, answers: &Answers, health: &Health, config: &PageConfig) -> App {
    let api = answers.of(api);
    let page = App::new(page(answers, health, config));
    let base_path = config.base_path.clone();
    App::from_fn(move |request| {
        let request = base_path.take_off(request);
        // To the letter, and not by a route: the router behind it would take its own routes for parts of that one.
        let app = if request.uri().path().starts_with("/api/") { &api } else { &page };
        app.answer(request)
    })
}

fn page(answers: &Answers, health: &Health, config: &PageConfig) -> Router {
    let base_path = config.base_path.clone();
    page::router(config)
        .merge(answers.routes())
        .fallback(move |asked: Uri| {
            future::ready(if base_path.lacks_slash(asked.path()) {
                Redirect::permanent(&format!("{base_path}/")).into_response()
            } else {
                Problem::not_found().into_response()
            })
        })
        .layer(from_fn(async |request, next: Next| observe(request, |it| next.run(it)).await))
        .merge(health.routes())
}
