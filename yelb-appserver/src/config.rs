//! The app server's settings.

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod store;
mod url;
mod views;
mod votes;

use yelb_db::{
    Location, Migrate, Password, PostgresOptions, RedisOptions, ViewLocation, VoteLocation,
};
use yelb_service::config::ProcessConfig;
use yelb_service::listening;
use yelb_service::settings::{Alias, Environment, Names, SettingError};
use yelb_service::telemetry;

use store::{Profile, Store};
use views::ViewConfig;
use votes::VoteConfig;

/// The port of the API, as in the original.
pub const PORT: u16 = 4567;

/// What the original and its forks call some of the settings.
pub const ALIASES: &[Alias] = &[
    Alias::new("DB_HOST", "YELB_DB_SERVER_ENDPOINT"),
    Alias::new("YELB_REDIS_SERVER_ENDPOINT", "REDIS_SERVER_ENDPOINT"),
    Alias::new("CACHE_HOST", "REDIS_SERVER_ENDPOINT"),
    // The name of a table alone.
    Alias { prefix: "dynamodb://", ..Alias::new("YELB_DDB_RESTAURANTS", "DATABASE_URL") },
    Alias { prefix: "dynamodb://", ..Alias::new("YELB_DDB_CACHE", "REDIS_URL") },
];

/// For `--help`: how to use tables of DynamoDB.
#[cfg(feature = "dynamodb")]
const TABLES: &str = "\
Tables of DynamoDB: the URLs dynamodb://TABLE, or the tables' names in YELB_DDB_RESTAURANTS (votes) and YELB_DDB_CACHE (page \
views); with AWS_REGION or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL, and credentials as AWS's SDKs \
look for them.\n\n";
#[cfg(not(feature = "dynamodb"))]
const TABLES: &str = "";

/// For `--help`: the variables that have no flags.
pub fn variables() -> String {
    format!("{TABLES}{}", telemetry::VARIABLES)
}

/// The app server's settings.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Port of the API, 0 for any free one
    #[arg(long, env = "PORT", default_value_t = PORT, value_parser = listening::port)]
    pub port: u16,
    /// Where the stores are.
    #[command(flatten)]
    pub stores: StoreConfig,
    /// What every server has.
    #[command(flatten)]
    pub process: ProcessConfig,
}

/// Where the stores are, as the user says it. What clap cannot see, [`StoreConfig::location`] does.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreConfig {
    #[command(flatten)]
    votes: VoteConfig,
    #[command(flatten)]
    views: ViewConfig,
    /// Hosts of both stores, as in the original: yelb-db and redis-server; localhost for development; those of the settings for
    /// custom; a setting of one store wins for that store
    #[arg(long, env = "RACK_ENV", value_name = "PROFILE", help_heading = "Both stores")]
    rack_env: Option<Profile>,
    /// Whether this process applies pending migrations: auto, or never; then run `yelb-appserver migrate`
    #[arg(long, env = "YELB_MIGRATE", value_name = "auto|never", default_value = "auto", value_parser = migrate, help_heading = "Both stores")]
    migrate: Migrate,
}

impl StoreConfig {
    /// Where the stores are. `default_file` is the `sqlite:` URL of the votes where no setting says where they are, or why there
    /// is none; without a default, they have to be said: two replicas on a file each would count apart.
    pub fn location(
        &self,
        names: &Names,
        environment: &Environment,
        default_file: Option<Result<String, SettingError>>,
    ) -> Result<Location, SettingError> {
        let (votes, views) = (self.votes.store(names), self.views.store(names));
        let votes_at = match votes.locate(self.rack_env, environment)? {
            Some(location) => location,
            None => match default_file {
                Some(file) => VoteLocation::Sqlite(file?),
                None => return Err(no_votes(&votes, &views)),
            },
        };
        // The profile's Redis stands beside the profile's Postgres. Where the votes are elsewhere, it is meant only if a setting
        // speaks of it.
        let beside_postgres = matches!(votes_at, VoteLocation::Server(_));
        let profile = self.rack_env.filter(|_| beside_postgres || views.is_given());
        let views_at = match (views.locate(profile, environment)?, &votes_at) {
            (Some(location), _) => location,
            (None, VoteLocation::Sqlite(file)) => ViewLocation::Sqlite(file.clone()),
            (None, _) => return Err(SettingError::new("REDIS_URL", views.remedy(beside_postgres))),
        };
        Ok(Location {
            votes: votes_at,
            views: views_at,
            migrate: self.migrate,
            keys_kept: self.votes.keys_kept,
        })
    }
}

/// All that is missing in one line, rather than one after the other.
fn no_votes(votes: &Store<'_, PostgresOptions>, views: &Store<'_, RedisOptions>) -> SettingError {
    let mut problem = votes.remedy(true);
    if !views.is_given() {
        problem = format!("{problem}; REDIS_URL: {}", views.remedy(true));
    }
    SettingError::new("DATABASE_URL", problem)
}

fn migrate(text: &str) -> Result<Migrate, &'static str> {
    match text {
        "auto" => Ok(Migrate::Auto),
        "never" => Ok(Migrate::Never),
        _ => Err("expected auto or never"),
    }
}

/// Reads the name of the file that has the password of a store.
fn in_file(path: &str) -> Result<Password, String> {
    Password::in_file(path).map_err(|reason| format!("expected a readable text file ({reason})"))
}
