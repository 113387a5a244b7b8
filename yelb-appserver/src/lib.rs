//! Yelb's API: votes, page views and stats.
//!
//! Start at [`router`], which has every route and layer on one screen. Handlers are in [`api`]; they know the [`stores`], and
//! [`config`] says where these are. [`live`] shows what is in them while there are viewers. [`request`] is what happens to a
//! request before it meets a route, [`cors`] what happens to an answer after it.

pub mod api;
pub mod config;
pub mod cors;
pub mod error;
pub mod live;
pub mod request;
pub mod router;
pub mod stores;

use yelb_db::{Location, OpenError, State, StatusReceiver, Stores, VoteLocation};
use yelb_poll::Poll;
use yelb_resolver::Resolver;
use yelb_service::health::{Check, Contact, Dependency, Health};
use yelb_service::problem::Chain;
use yelb_service::settings::{Names, SettingError};

use crate::live::{Live, Sources};
use crate::stores::{PageViews, Votes};

/// What the routes share. A handler takes the part that it uses.
#[derive(Debug, Clone, axum::extract::FromRef)]
pub struct AppState {
    /// The restaurants.
    pub poll: Poll,
    /// The votes.
    pub votes: Votes,
    /// The page views.
    pub page_views: PageViews,
    /// The live stream of both.
    pub live: Live,
    /// The name of the host, which is in the answers.
    pub hostname: api::Hostname,
}

/// Opens the stores, which need not be reachable yet. They are to be closed at the end of the process.
pub async fn start(
    location: &Location,
    resolver: &Resolver,
    names: &Names,
) -> Result<(AppState, Health, Stores), SettingError> {
    let poll = Poll::default();
    let opened = yelb_db::open(location, poll, resolver).await;
    let stores = opened.map_err(|error| cannot_open(location, names, &error))?;
    let health = Health::new([stores.votes.status(), stores.views.status()].map(check));
    let hostname = api::Hostname::of_this_host();
    let (votes, page_views) = (stores.votes.clone(), stores.views.clone());
    let sources = Sources { poll, votes, page_views, hostname: hostname.clone() };
    let live = Live::start(sources, &health);
    let state = AppState {
        poll,
        votes: Votes::new(stores.votes.clone(), &poll, live.clone()),
        page_views: PageViews::new(stores.views.clone()),
        live,
        hostname,
    };
    Ok((state, health, stores))
}

fn cannot_open(location: &Location, names: &Names, error: &OpenError) -> SettingError {
    let of_votes = matches!(&location.votes, VoteLocation::Sqlite(url) if *url == error.url);
    let variable = if of_votes { "DATABASE_URL" } else { "REDIS_URL" };
    let problem = format!("cannot open or make {}: {}", error.url, Chain(&error.source));
    match names.given(variable) {
        Some(name) => SettingError::new(name, problem),
        None => {
            let remedy = "that is the default; set another file, such as sqlite:yelb.db";
            SettingError::new(variable, format!("{problem}; {remedy}"))
        }
    }
}

/// A store, as `/readyz` and the metrics show it.
fn check(store: StatusReceiver) -> Check {
    Box::new(move || {
        let status = store.get();
        Dependency {
            name: store.kind().keeps,
            kind: store.kind().name,
            contact: match status.state {
                State::Unknown => Contact::Unknown,
                State::Up => Contact::Up,
                State::Down(reason) => Contact::Down(reason),
            },
            since: status.since,
            prepared: status.prepared,
            missing: status.missing,
            changed: status.changed,
        }
    })
}
