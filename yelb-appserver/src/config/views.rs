//! What can be said of the page views' store.

use clap::ArgAction;
use url::Url;
use yelb_db::{Password, RedisOptions};
use yelb_resolver::Host;
use yelb_service::listening;
use yelb_service::settings::Names;

use super::in_file;
use super::store::Store;
use super::url::StoreUrl;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Page views")]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub(super) struct ViewConfig {
    /// Where the page views are, such as `redis://host:6379`, `rediss://host:6379` (TLS) or `sqlite:yelb.db`; unless set, in the file
    /// of the votes if they are in one
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["redis_host", "redis_port", "redis_tls"])]
    redis_url: Option<StoreUrl<RedisOptions>>,
    /// Host of Redis, in place of a URL
    #[arg(long, env = "REDIS_SERVER_ENDPOINT", value_name = "HOST")]
    redis_host: Option<Host>,
    /// Its port
    #[arg(long, env = "REDIS_SERVER_PORT", value_name = "PORT", default_value = "6379", value_parser = listening::port)]
    redis_port: u16,
    /// Whether to connect to Redis by TLS
    #[arg(long, env = "REDIS_TLS", value_name = "true|false", default_value = "false")]
    #[arg(action = ArgAction::Set, value_parser = boolean)]
    redis_tls: bool,
    /// File with the password, read again at each login; or `REDIS_PASSWORD` has the password itself
    #[arg(long, env = "REDIS_PASSWORD_FILE", value_name = "FILE", value_parser = in_file)]
    redis_password_file: Option<Password>,
    /// Password of Redis
    // Hidden: a flag shows the password to all who can list processes.
    #[arg(long, env = "REDIS_PASSWORD", hide = true, hide_env_values = true)]
    #[arg(conflicts_with = "redis_password_file")]
    redis_password: Option<Password>,
}

impl ViewConfig {
    pub(super) fn store<'a>(&'a self, names: &'a Names) -> Store<'a, RedisOptions> {
        let scheme = if self.redis_tls { "rediss" } else { "redis" };
        let by_parts = Url::parse(&format!("{scheme}://host:{}", self.redis_port));
        Store {
            names,
            keeps: "page views",
            url_variable: "REDIS_URL",
            url: self.redis_url.as_ref(),
            host_variable: "REDIS_SERVER_ENDPOINT",
            host: self.redis_host.as_ref(),
            host_in_production: "redis-server",
            parts: &["REDIS_SERVER_PORT", "REDIS_TLS"],
            by_parts: by_parts.expect("a scheme, a host and a port are a URL"),
            password_variables: ["REDIS_PASSWORD", "REDIS_PASSWORD_FILE"],
            password: self.redis_password.as_ref().or(self.redis_password_file.as_ref()),
        }
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}
