//! The UI's settings.

use axum::http::Uri;
use yelb_resolver::HttpEndpoint;
use yelb_service::config::ProcessConfig;
use yelb_service::listening;
use yelb_service::settings::Alias;

use crate::base_path::BasePath;
use crate::frame_ancestors::FrameAncestors;

/// The port of the page. The image says 80.
pub const PORT: u16 = 8080;

const APPSERVER_PORT: u16 = 4567;

/// What forks of the original call some of the settings.
pub const ALIASES: &[Alias] = &[Alias::new("APPSERVER_HOST", "YELB_APPSERVER_ENDPOINT")];

/// The UI's settings.
#[derive(Debug, Clone, clap::Args)]
#[command(mut_arg("admin_port", |port| port.default_value("9465")))]
pub struct Config {
    /// Port of the page, 0 for any free one
    #[arg(long, env = "PORT", default_value_t = PORT, value_parser = listening::port)]
    pub port: u16,
    /// Where the app server is: `http://HOST:PORT`, `https://HOST/PATH` with a path before `/api`, or a host alone
    // A URL may have a password in it.
    #[arg(long, env = "YELB_APPSERVER_ENDPOINT", value_name = "URL", hide_env_values = true)]
    #[arg(default_value = "http://yelb-appserver:4567", value_parser = appserver)]
    pub appserver_endpoint: HttpEndpoint,
    /// The page, for its visitors.
    #[command(flatten)]
    pub page: PageConfig,
    /// Ignored: it chooses a version of the original's page, and this page has one version
    #[arg(long, env = "UI_ENV", hide = true)]
    ui_env: Option<String>,
    /// What every server has.
    #[command(flatten)]
    pub process: ProcessConfig,
}

/// The page, for its visitors.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PageConfig {
    /// Path below which visitors reach the page, such as /yelb; a load balancer may keep or remove it
    #[arg(long, env = "YELB_BASE_PATH", value_name = "PATH", default_value = "/")]
    pub base_path: BasePath,
    /// Sites that may show the page in a frame: none, self, or origins such as `https://workshop.example.com`
    #[arg(long, env = "YELB_FRAME_ANCESTORS", value_name = "LIST", default_value = "none")]
    pub frame_ancestors: FrameAncestors,
}

/// Reads where the app server is. The certificate of `https://` has to be of an authority that this system trusts.
pub(crate) fn appserver(text: &str) -> Result<HttpEndpoint, &'static str> {
    let endpoint = HttpEndpoint::parse(text, APPSERVER_PORT)?;
    match endpoint.to_string().parse::<Uri>() {
        Ok(_) => Ok(endpoint),
        Err(_) => Err("expected http://host:4567 or a host, got characters that a URL cannot have"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_server_is_where_it_is_said_to_be() {
        for (text, expected) in [
            ("http://api.example.com:80/", "http://api.example.com:80"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("http://yelb-appserver", "http://yelb-appserver:4567"),
            ("ec2-192-0-2-1.example.com", "http://ec2-192-0-2-1.example.com:4567"),
            ("https://api.example.com", "https://api.example.com:443"),
            ("https://[::1]:1/a/b/", "https://[::1]:1/a/b"),
            ("api/green", "http://api:4567/green"),
        ] {
            assert_eq!(appserver(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_http_cannot_say_is_refused() {
        for text in ["http://a{b", "http://api/<green>"] {
            assert!(appserver(text).is_err(), "{text}");
        }
    }
}
