//! Where the page views are.

use clap::ArgAction;
use yelb_db::{Password, RedisOptions, ViewLocation, VoteLocation};
use yelb_resolver::Host;
use yelb_service::listening;
use yelb_service::settings::SettingError;

use super::given::{self, Given, in_file, in_text};
use super::url::StoreUrl;

pub(super) const URL: &str = "REDIS_URL";
pub(super) const HOST: &str = "REDIS_SERVER_ENDPOINT";
const PARTS: [&str; 2] = ["REDIS_SERVER_PORT", "REDIS_TLS"];
const PASSWORDS: [&str; 2] = ["REDIS_PASSWORD", "REDIS_PASSWORD_FILE"];

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Page views")]
pub(super) struct ViewConfig {
    /// Where the page views are, such as redis://host:6379, rediss://host:6379 (TLS) or sqlite:yelb.db; unless set, in the file
    /// of the votes if they are in one
    #[arg(long, env = URL, value_name = "URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["redis_host", "redis_port", "redis_tls"])]
    redis_url: Option<StoreUrl<RedisOptions>>,
    /// Host of Redis, in place of a URL
    #[arg(long, env = HOST, value_name = "HOST")]
    redis_host: Option<Host>,
    /// Its port
    #[arg(long, env = PARTS[0], value_name = "PORT", default_value = "6379", value_parser = listening::port)]
    redis_port: u16,
    /// Whether it is reached by TLS
    #[arg(long, env = PARTS[1], value_name = "true|false", default_value = "false")]
    #[arg(action = ArgAction::Set, value_parser = boolean)]
    redis_tls: bool,
    /// File with the password, read again at each login; or REDIS_PASSWORD has the password itself
    #[arg(long, env = PASSWORDS[1], value_name = "FILE", value_parser = in_file)]
    redis_password_file: Option<Password>,
    /// Password of Redis
    // Hidden: a flag shows the password to all who can list processes.
    #[arg(long, env = PASSWORDS[0], hide = true, hide_env_values = true, value_parser = in_text)]
    #[arg(conflicts_with = "redis_password_file")]
    redis_password: Option<Password>,
}

impl ViewConfig {
    /// Where they are, given where the votes are.
    pub(super) fn location(
        &self,
        given: &Given<'_>,
        votes: &VoteLocation,
    ) -> Result<ViewLocation, SettingError> {
        if let Some(url) = &self.redis_url {
            return self.by_url(url, given);
        }
        // The profile's Redis stands beside the profile's Postgres. Where the votes are elsewhere, it is meant only if a setting
        // speaks of it.
        let speaks = given.first(&[HOST]).or(given.first(&PARTS)).or(given.first(&PASSWORDS));
        let beside_postgres = matches!(votes, VoteLocation::Postgres(_));
        let profile = given.profile.filter(|_| beside_postgres || speaks.is_some());
        let given = Given { profile, ..*given };
        if let Some(host) = given.host(self.redis_host.as_ref(), HOST, "redis-server")? {
            let server = RedisOptions::from_parts(&host, self.redis_port, self.redis_tls);
            let password = self.password().cloned();
            return Ok(ViewLocation::Redis(match password {
                Some(password) => server.with_password(password),
                None => server,
            }));
        }
        given.refuse_useless(&PARTS, "REDIS_URL or a host")?;
        given.refuse_useless(&PASSWORDS, "REDIS_URL or a host")?;
        match votes {
            VoteLocation::Sqlite(file) => Ok(ViewLocation::Sqlite(file.clone())),
            _ => Err(SettingError::new(URL, no_store(beside_postgres))),
        }
    }

    fn by_url(
        &self,
        url: &StoreUrl<RedisOptions>,
        given: &Given<'_>,
    ) -> Result<ViewLocation, SettingError> {
        if !matches!(url, StoreUrl::Server(_)) {
            given.refuse_useless(&PASSWORDS, "a redis:// URL")?;
        }
        Ok(match url {
            StoreUrl::Server(server) => {
                ViewLocation::Redis(given.log_in((URL, server), (PASSWORDS, self.password()))?)
            }
            StoreUrl::Sqlite(url) => ViewLocation::Sqlite(url.clone()),
            #[cfg(feature = "dynamodb")]
            StoreUrl::DynamoDb(table) => ViewLocation::DynamoDb(given.table(URL, table)?),
        })
    }

    fn password(&self) -> Option<&Password> {
        self.redis_password.as_ref().or(self.redis_password_file.as_ref())
    }
}

/// What to do if nothing says where the page views are.
pub(super) fn no_store(profile_helps: bool) -> String {
    given::no_store::<RedisOptions>("page views", URL, HOST, profile_helps)
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}
