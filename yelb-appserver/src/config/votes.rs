//! Where the votes are.

use yelb_db::{Password, PostgresOptions, VoteLocation};
use yelb_resolver::Host;
use yelb_service::listening;
use yelb_service::settings::SettingError;

use super::given::{Given, in_file, in_text, no_store};
use super::url::StoreUrl;
use super::views;

/// The password that is fixed in the original's image and app server. It is public, and used only where a host is given in
/// the original's way without a password, so that an existing deployment works unchanged. So are the defaults of database
/// and user.
const ORIGINAL_PASSWORD: &str = "postgres_password";

const URL: &str = "DATABASE_URL";
const HOST: &str = "YELB_DB_SERVER_ENDPOINT";
const PASSWORDS: [&str; 2] = ["YELB_DB_PASSWORD", "YELB_DB_PASSWORD_FILE"];

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Votes")]
pub(super) struct VoteConfig {
    /// Where the votes are, such as postgres://user@host:5432/database or sqlite:yelb.db
    #[arg(long, env = URL, value_name = "URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["db_host", "db_port", "db_name", "db_user"])]
    database_url: Option<StoreUrl<PostgresOptions>>,
    /// Host of PostgreSQL, in place of a URL
    #[arg(long, env = HOST, value_name = "HOST")]
    db_host: Option<Host>,
    /// Its port
    #[arg(long, env = "YELB_DB_SERVER_PORT", value_name = "PORT", default_value = "5432", value_parser = listening::port)]
    db_port: u16,
    /// Its database
    #[arg(long, env = "YELB_DB_NAME", value_name = "NAME", default_value = "yelbdatabase")]
    db_name: String,
    /// Its user
    #[arg(long, env = "YELB_DB_USERNAME", value_name = "NAME", default_value = "postgres")]
    db_user: String,
    /// File with the password, read again at each login; or YELB_DB_PASSWORD has the password itself
    #[arg(long, env = PASSWORDS[1], value_name = "FILE", value_parser = in_file)]
    db_password_file: Option<Password>,
    /// Password of PostgreSQL
    // Hidden: a flag shows the password to all who can list processes.
    #[arg(long, env = PASSWORDS[0], hide = true, hide_env_values = true, value_parser = in_text)]
    #[arg(conflicts_with = "db_password_file")]
    db_password: Option<Password>,
}

impl VoteConfig {
    pub(super) fn location(
        &self,
        given: &Given<'_>,
        default_file: Option<String>,
    ) -> Result<VoteLocation, SettingError> {
        if let Some(url) = &self.database_url {
            return self.by_url(url, given);
        }
        if let Some(host) = given.host(self.db_host.as_ref(), HOST, "yelb-db")? {
            let original = || Password::Text(ORIGINAL_PASSWORD.into());
            let password = self.password().cloned().unwrap_or_else(original);
            let Self { db_port, db_name, db_user, .. } = self;
            let server = PostgresOptions::from_parts(&host, *db_port, db_name, db_user, password);
            return Ok(VoteLocation::Postgres(server));
        }
        let parts = ["YELB_DB_SERVER_PORT", "YELB_DB_NAME", "YELB_DB_USERNAME"];
        given.refuse_useless(&parts, "DATABASE_URL or a host")?;
        given.refuse_useless(&PASSWORDS, "DATABASE_URL or a host")?;
        default_file.map(VoteLocation::Sqlite).ok_or_else(|| missing(given))
    }

    fn by_url(
        &self,
        url: &StoreUrl<PostgresOptions>,
        given: &Given<'_>,
    ) -> Result<VoteLocation, SettingError> {
        if !matches!(url, StoreUrl::Server(_)) {
            given.refuse_useless(&PASSWORDS, "a postgres:// URL")?;
        }
        Ok(match url {
            StoreUrl::Server(server) => {
                VoteLocation::Postgres(given.log_in((URL, server), (PASSWORDS, self.password()))?)
            }
            StoreUrl::Sqlite(url) => VoteLocation::Sqlite(url.clone()),
            #[cfg(feature = "dynamodb")]
            StoreUrl::DynamoDb(table) => VoteLocation::DynamoDb(given.table(URL, table)?),
        })
    }

    fn password(&self) -> Option<&Password> {
        self.db_password.as_ref().or(self.db_password_file.as_ref())
    }
}

/// All that is missing in one line, rather than one after the other.
fn missing(given: &Given<'_>) -> SettingError {
    let votes = no_store::<PostgresOptions>("votes", URL, HOST, true);
    let problem = match given.first(&[views::URL, views::HOST]) {
        Some(_) => votes,
        None => format!("{votes}; {}: {}", views::URL, views::no_store(true)),
    };
    SettingError::new(URL, problem)
}
