//! Yelb's API: votes, page views and stats.
//!
//! Start at [`router`], which has every route and layer on one screen. Handlers are in [`api`]; they know the [`stores`], and
//! [`config`] says where these are. [`request`] is what happens to a request before it meets a route, [`cors`]
//! what happens to an answer after it.

pub mod api;
pub mod config;
pub mod cors;
pub mod error;
pub mod request;
pub mod router;
pub mod stores;

use yelb_db::{OpenError, State, StatusReceiver, Stores, VoteLocation};
use yelb_poll::Poll;
use yelb_service::health::{Check, Contact, Dependency, Health};
use yelb_service::problem::Chain;
use yelb_service::settings::SettingError;

use crate::config::Config;
use crate::stores::{PageViews, Votes};

/// The default port of metrics and health.
pub const ADMIN_PORT: u16 = 9464;

/// What the routes share. A handler takes the part that it uses.
#[derive(Debug, Clone, axum::extract::FromRef)]
pub struct AppState {
    /// What can be voted for.
    pub poll: Poll,
    /// The votes.
    pub votes: Votes,
    /// The page views.
    pub page_views: PageViews,
    /// The name of the host, which is in the answers.
    pub hostname: api::Hostname,
}

/// Opens the stores of `config`, which need not be reachable yet. They are to be closed at the end of the process.
pub async fn start(config: &Config) -> Result<(AppState, Health, Stores), SettingError> {
    let poll = Poll::default();
    let opened = yelb_db::open(&config.stores, poll, &config.resolver).await;
    let stores = opened.map_err(|error| cannot_open(config, &error))?;
    let state = AppState {
        poll,
        votes: Votes::new(stores.votes.clone(), &poll),
        page_views: PageViews::new(stores.views.clone()),
        hostname: api::Hostname::of_this_host(),
    };
    let health = Health::new([stores.votes.status(), stores.views.status()].map(check));
    Ok((state, health, stores))
}

/// Makes what the stores of `config` lack, once.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    Ok(yelb_db::migrate(&config.stores, Poll::default(), &config.resolver).await?)
}

fn cannot_open(config: &Config, error: &OpenError) -> SettingError {
    let of_votes = matches!(&config.stores.votes, VoteLocation::Sqlite(url) if *url == error.url);
    let setting = if of_votes { "DATABASE_URL" } else { "REDIS_URL" };
    let (url, reason) = (&error.url, Chain(&error.source));
    SettingError::new(
        setting,
        format!("must name a store that can be reached or made; {url}: {reason}"),
    )
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
        }
    })
}
