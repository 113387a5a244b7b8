//! Yelb's API: votes, page views and stats.
//!
//! Start at [`router`], which has every route and layer on one screen. Handlers are in [`api`]; they know [`votes`] and
//! [`page_views`], which know a store each. [`request`] is what happens to a request before it meets a route, [`cors`]
//! what happens to an answer after it.

pub mod api;
pub mod config;
pub mod cors;
pub mod error;
pub mod page_views;
pub mod request;
pub mod rounds;
pub mod router;
pub mod votes;

use yelb_db::{DynamoDb, DynamoDbViews, Poll, Postgres, Sqlite, VoteStore};
use yelb_service::health::{Dependency, Health};
use yelb_service::problem::Chain;
use yelb_service::settings::SettingError;

use crate::config::{Config, PageViewsAt, VotesAt};
use crate::page_views::PageViews;
use crate::votes::Votes;

/// The default port of metrics and health.
pub const ADMIN_PORT: u16 = 9464;

/// What the routes share. A handler takes the part that it uses.
#[derive(Debug, Clone, axum::extract::FromRef)]
pub struct AppState {
    /// The ballot box.
    pub votes: Votes,
    /// The counter of page views.
    pub page_views: PageViews,
    /// Who answers.
    pub hostname: api::Hostname,
}

impl AppState {
    /// Puts the stores in order at the end of the process.
    pub async fn close(&self) {
        self.votes.close().await;
        self.page_views.close().await;
    }
}

/// Starts to keep the stores of `config`. They need not be there yet.
pub async fn start(config: &Config) -> Result<(AppState, Health), SettingError> {
    let poll = Poll::default();
    let (store, votes_health) = open_votes(config, &poll).await?;
    let (page_views, views_health) = open_page_views(config, &poll, &store).await?;
    let state = AppState {
        votes: Votes::new(store, poll),
        page_views,
        hostname: api::Hostname::of_this_host(),
    };
    Ok((state, Health::new([votes_health, views_health])))
}

async fn open_votes(config: &Config, poll: &Poll) -> Result<(VoteStore, Dependency), SettingError> {
    match &config.votes {
        VotesAt::Postgres(options) => {
            let dependency = Dependency::new("votes", "postgresql");
            let (options, names) = (options.clone(), config.names.clone());
            let store =
                Postgres::keep(options, config.migrate, poll.clone(), names, dependency.clone());
            Ok((VoteStore::Postgres(store), dependency))
        }
        VotesAt::DynamoDb(options) => {
            let dependency = Dependency::new("votes", "dynamodb");
            let store = DynamoDb::keep(options.clone(), config.migrate, poll, dependency.clone());
            Ok((VoteStore::DynamoDb(store), dependency))
        }
        VotesAt::Sqlite(url) => {
            let store = open_sqlite("DATABASE_URL", url, poll).await?;
            Ok((VoteStore::Sqlite(store), embedded("votes")))
        }
    }
}

async fn open_page_views(
    config: &Config,
    poll: &Poll,
    votes: &VoteStore,
) -> Result<(PageViews, Dependency), SettingError> {
    match (&config.page_views, votes) {
        (PageViewsAt::Redis(options), _) => {
            let dependency = Dependency::new("page-views", "redis");
            // Readiness does not wait for page views: the votes go on without them.
            dependency.prepared();
            let page_views =
                PageViews::redis(options.clone(), config.names.clone(), dependency.clone());
            Ok((page_views, dependency))
        }
        (PageViewsAt::DynamoDb(options), _) => {
            let dependency = Dependency::new("page-views", "dynamodb");
            dependency.prepared();
            let table = DynamoDbViews::keep(options.clone(), config.migrate, dependency.clone());
            Ok((PageViews::dynamodb(table), dependency))
        }
        (PageViewsAt::WithVotes, VoteStore::Sqlite(store)) => {
            Ok((PageViews::embedded(store.clone()), embedded("page-views")))
        }
        (PageViewsAt::WithVotes, VoteStore::Postgres(_) | VoteStore::DynamoDb(_)) => {
            Err(SettingError::new("REDIS_URL", "must be set, because the votes are not in a file"))
        }
        (PageViewsAt::Sqlite(url), _) => {
            let store = open_sqlite("REDIS_URL", url, poll).await?;
            Ok((PageViews::embedded(store), embedded("page-views")))
        }
    }
}

/// Makes what the stores of `config` lack, once.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let poll = Poll::default();
    match &config.votes {
        VotesAt::Postgres(options) => {
            let migrating = Postgres::migrate(options.clone(), poll, config.names.clone());
            tracing::info!(applied = migrating.await?, "migrated");
        }
        VotesAt::DynamoDb(options) => {
            DynamoDb::migrate(options.clone(), &poll).await?;
            tracing::info!("the table of the votes is complete");
        }
        VotesAt::Sqlite(url) => {
            open_sqlite("DATABASE_URL", url, &poll).await?;
            tracing::info!("an SQLite file is migrated whenever it is opened");
        }
    }
    if let PageViewsAt::DynamoDb(options) = &config.page_views {
        DynamoDbViews::migrate(options.clone()).await?;
        tracing::info!("the table of the page views is complete");
    }
    Ok(())
}

async fn open_sqlite(setting: &str, url: &str, poll: &Poll) -> Result<Sqlite, SettingError> {
    Sqlite::open(url, poll).await.map_err(|error| {
        let reason = Chain(&error);
        SettingError::new(
            setting,
            format!("must name a store that can be reached or made; {url}: {reason}"),
        )
    })
}

/// A store that is part of this process.
fn embedded(name: &'static str) -> Dependency {
    let dependency = Dependency::new(name, "sqlite");
    dependency.prepared();
    dependency.up();
    dependency
}
