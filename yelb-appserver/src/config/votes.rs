//! What can be said of the votes' store.

use std::time::Duration;

use url::Url;
use yelb_db::{Password, PostgresOptions};
use yelb_resolver::Host;
use yelb_service::listening;
use yelb_service::settings::Names;

use super::in_file;
use super::store::Store;
use super::url::StoreUrl;

/// The password that is fixed in the original's image and app server. It is public, and used only where a host is given in
/// the original's way without a password, so that an existing deployment works unchanged. So are the defaults of database
/// and user.
const ORIGINAL_PASSWORD: &str = "postgres_password";

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Votes")]
pub(super) struct VoteConfig {
    /// Where the votes are, such as `postgres://user@host:5432/database` or `sqlite:yelb.db`
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["db_host", "db_port", "db_name", "db_user"])]
    database_url: Option<StoreUrl<PostgresOptions>>,
    /// Host of PostgreSQL, in place of a URL
    #[arg(long, env = "YELB_DB_SERVER_ENDPOINT", value_name = "HOST")]
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
    /// File with the password, read again at each login; or `YELB_DB_PASSWORD` has the password itself
    #[arg(long, env = "YELB_DB_PASSWORD_FILE", value_name = "FILE", value_parser = in_file)]
    db_password_file: Option<Password>,
    /// Password of PostgreSQL
    // Hidden: a flag shows the password to all who can list processes.
    #[arg(long, env = "YELB_DB_PASSWORD", hide = true, hide_env_values = true)]
    #[arg(conflicts_with = "db_password_file")]
    db_password: Option<Password>,
    /// Least number of hours for which the Idempotency-Key of a vote is known; 24 or more, because the page retries an
    /// unconfirmed vote for a day
    #[arg(long = "key-hours", env = "YELB_KEY_HOURS", value_name = "HOURS", default_value = "24", value_parser = hours)]
    pub(super) keys_kept: Duration,
}

fn hours(text: &str) -> Result<Duration, &'static str> {
    let hours = text.parse().ok().filter(|hours| (24..=8760).contains(hours));
    hours.map(Duration::from_hours).ok_or("expected a number of whole hours from 24 to 8760")
}

impl VoteConfig {
    pub(super) fn store<'a>(&'a self, names: &'a Names) -> Store<'a, PostgresOptions> {
        let mut by_parts = Url::parse("postgres://host").expect("a scheme and a host are a URL");
        // These fail only where a URL has no host.
        let _ = by_parts.set_password(Some(ORIGINAL_PASSWORD));
        let _ = by_parts.set_port(Some(self.db_port));
        // In the query any name is taken as it is, `%41` and `..` too.
        let mut query = by_parts.query_pairs_mut();
        query.append_pair("user", &self.db_user).append_pair("dbname", &self.db_name);
        drop(query);
        Store {
            names,
            keeps: "votes",
            url_variable: "DATABASE_URL",
            url: self.database_url.as_ref(),
            host_variable: "YELB_DB_SERVER_ENDPOINT",
            host: self.db_host.as_ref(),
            host_in_production: "yelb-db",
            parts: &["YELB_DB_SERVER_PORT", "YELB_DB_NAME", "YELB_DB_USERNAME"],
            by_parts,
            password_variables: ["YELB_DB_PASSWORD", "YELB_DB_PASSWORD_FILE"],
            password: self.db_password.as_ref().or(self.db_password_file.as_ref()),
        }
    }
}
