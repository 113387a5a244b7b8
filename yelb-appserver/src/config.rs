//! The app server's settings.

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod given;
mod url;
mod views;
mod votes;

use yelb_db::{Location, Migrate};
use yelb_service::config::ProcessConfig;
use yelb_service::listening;
use yelb_service::settings::{Alias, Environment, Names, SettingError};
use yelb_service::telemetry;

#[cfg(feature = "dynamodb")]
pub use dynamodb::AWS_VARIABLES;
use given::{Given, Profile};
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

/// For `--help`: the variables that have no flags.
pub fn variables_help() -> String {
    let telemetry = telemetry::variables_help();
    #[cfg(feature = "dynamodb")]
    let telemetry = format!("{}\n\n{telemetry}", dynamodb::variables_help());
    telemetry
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
    /// Hosts of both as the original names them: yelb-db and redis-server, localhost for development, or those of the
    /// settings for custom; a setting wins for its own store
    #[arg(long, env = "RACK_ENV", value_name = "PROFILE", help_heading = "Stores")]
    rack_env: Option<Profile>,
    /// Who applies pending migrations: auto is this process, never leaves them to `yelb-appserver migrate`
    #[arg(long, env = "YELB_MIGRATE", value_name = "auto|never", default_value = "auto", value_parser = migrate, help_heading = "Stores")]
    migrate: Migrate,
}

impl StoreConfig {
    /// Where the stores are. `default_file` is the `sqlite:` URL of the votes where no setting says where they are; without
    /// one, they have to be said: two replicas on a file each would count apart.
    pub fn location(
        &self,
        names: &Names,
        environment: &Environment,
        default_file: Option<String>,
    ) -> Result<Location, SettingError> {
        let given = Given { names, environment, profile: self.rack_env };
        let votes = self.votes.location(&given, default_file)?;
        let views = self.views.location(&given, &votes)?;
        Ok(Location { votes, views, migrate: self.migrate })
    }
}

fn migrate(text: &str) -> Result<Migrate, &'static str> {
    match text {
        "auto" => Ok(Migrate::Auto),
        "never" => Ok(Migrate::Never),
        _ => Err("expected auto or never"),
    }
}
