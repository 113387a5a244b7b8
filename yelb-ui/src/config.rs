//! The UI's settings.

use axum::http::uri::Authority;
use yelb_resolver::HttpEndpoint;
use yelb_service::config::ProcessConfig;
use yelb_service::listening;
use yelb_service::settings::Alias;

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
    /// Where the app server is: `http://HOST:PORT`, or a host alone
    // A URL may have a password in it.
    #[arg(long, env = "YELB_APPSERVER_ENDPOINT", value_name = "URL", hide_env_values = true)]
    #[arg(default_value = "http://yelb-appserver:4567", value_parser = appserver)]
    pub appserver_endpoint: Endpoint,
    /// Ignored: the original's kind of page, of which there is one
    #[arg(long, env = "UI_ENV", hide = true)]
    ui_env: Option<String>,
    /// What every server has.
    #[command(flatten)]
    pub process: ProcessConfig,
}

/// The address of the app server: what goes into `Host`, by which Envoy picks the virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Authority);

impl Endpoint {
    /// Host and port.
    pub fn authority(&self) -> &Authority {
        &self.0
    }
}

fn appserver(text: &str) -> Result<Endpoint, String> {
    let url = HttpEndpoint::parse(text, APPSERVER_PORT)?;
    let expected = "expected http://host:4567 or a host";
    if url.tls {
        return Err(format!("{expected}, got https://"));
    }
    if !url.path.is_empty() {
        return Err(format!("{expected}, got a path after it"));
    }
    let authority = url.endpoint.to_string().parse();
    authority
        .map(Endpoint)
        .map_err(|_| format!("{expected}, got a name that HTTP has no letters for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_server_is_where_it_is_said_to_be() {
        for (text, expected) in [
            ("http://api.example.com:80/", "api.example.com:80"),
            ("http://[::1]:1", "[::1]:1"),
            ("http://yelb-appserver", "yelb-appserver:4567"),
            ("ec2-192-0-2-1.compute.amazonaws.com", "ec2-192-0-2-1.compute.amazonaws.com:4567"),
        ] {
            assert_eq!(appserver(text).unwrap().authority().as_str(), expected);
        }
    }

    #[test]
    fn what_the_proxy_cannot_do_yet_is_refused() {
        for (text, found) in [("https://api", "https://"), ("http://api/green", "a path after it")]
        {
            let expected = format!("expected http://host:4567 or a host, got {found}");
            assert_eq!(appserver(text), Err(expected), "{text}");
        }
    }
}
