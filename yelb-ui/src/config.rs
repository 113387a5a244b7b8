//! The UI's settings.

use axum::http::Uri;
use yelb_resolver::Resolver;
use yelb_service::listening;
use yelb_service::settings::{Environment, SettingError};

/// The port of the page. The image says 80.
pub const PORT: u16 = 8080;

/// Where the app server is unless told otherwise: its name in every deployment of the original.
const DEFAULT_ENDPOINT: &str = "http://yelb-appserver:4567";
const APPSERVER_PORT: u16 = 4567;

/// For `--help`: the names that are accepted besides the primary ones.
pub const ALIASES: &str = "\
Also accepted, from the original and its forks:
  APPSERVER_HOST  the host of the app server, on port 4567
  UI_ENV          ignored: there is one kind of page
The log is set by RUST_LOG (a level, or a list such as info,yelb_ui=debug).";

/// The UI's settings, all of them usable.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port of the page.
    pub port: u16,
    /// Where the app server is.
    pub appserver: Endpoint,
    /// How host names are looked up.
    pub resolver: Resolver,
}

impl Config {
    /// Reads the settings; the first that cannot be used is the error.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        Ok(Self {
            port: listening::port(environment, &["PORT"], PORT)?,
            appserver: Endpoint::from_environment(environment)?,
            resolver: environment.resolver()?,
        })
    }
}

/// The address of the app server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is `https://`.
    pub tls: bool,
    /// Its name or its address, the latter in brackets if it is IPv6.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What comes before `/api`: nothing, or a path that begins with a slash and does not end with one.
    pub path: String,
}

impl Endpoint {
    fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        match (environment.get("YELB_APPSERVER_ENDPOINT")?, environment.get("APPSERVER_HOST")?) {
            (Some(url), Some(host)) => {
                let problem = format!("excludes {}; set one of the two", url.name);
                Err(SettingError::new(host.name, problem))
            }
            (Some(url), None) => Self::from_url(url.value).ok_or_else(|| {
                SettingError::new(
                    url.name,
                    "must be a URL: http://host:4567, https://host/path, or a host",
                )
            }),
            (None, Some(host)) => {
                let endpoint = Self::from_url(host.value)
                    .filter(|endpoint| endpoint.path.is_empty() && !host.value.contains('/'));
                endpoint.ok_or_else(|| {
                    SettingError::new(host.name, "must be a host name or an IP address")
                })
            }
            (None, None) => Ok(Self::from_url(DEFAULT_ENDPOINT).expect("the default is a URL")),
        }
    }

    /// Reads `http://host:port/path`. The scheme is `http` unless given; the port 443 with `https`, else 4567.
    pub fn from_url(url: &str) -> Option<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        // Not `authority.port()`, which takes a number that is too large for none.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" if tls => 443,
            "" => APPSERVER_PORT,
            // A colon without a number is a slip.
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let is_plain = !url.contains(['@', '?', '#']) && is_host(authority.host());
        let (host, path) =
            (authority.host().to_owned(), uri.path().trim_end_matches('/').to_owned());
        is_plain.then_some(Self { tls, host, port, path })
    }
}

fn is_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && (address.parse::<std::net::IpAddr>().is_ok() || host.bytes().all(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Result<String, String> {
        let environment = variables.iter().copied().collect();
        let config = Config::from_environment(&environment).map_err(|error| error.to_string())?;
        let Endpoint { tls, host, port, path } = config.appserver;
        Ok(format!("{}{host}:{port}{path}", if tls { "https " } else { "" }))
    }

    #[test]
    fn the_app_server_is_where_it_is_said_to_be() {
        let cases: [(&[(&str, &str)], &str); 11] = [
            (&[], "yelb-appserver:4567"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://api.example.com:80/")], "api.example.com:80"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://[::1]:1")], "[::1]:1"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://yelb-appserver")], "yelb-appserver:4567"),
            (&[("YELB_APPSERVER_ENDPOINT", "yelb-appserver")], "yelb-appserver:4567"),
            (&[("YELB_APPSERVER_ENDPOINT", "yelb-appserver:80")], "yelb-appserver:80"),
            (
                &[("YELB_APPSERVER_ENDPOINT", "https://api.example.com")],
                "https api.example.com:443",
            ),
            (&[("YELB_APPSERVER_ENDPOINT", "https://[::1]:1/a/b/")], "https [::1]:1/a/b"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://a/b")], "a:4567/b"),
            (&[("APPSERVER_HOST", "a:80")], "a:80"),
            (&[("APPSERVER_HOST", "localhost"), ("UI_ENV", "prod")], "localhost:4567"),
        ];
        for (variables, expected) in cases {
            assert_eq!(endpoint(variables).as_deref(), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn nonsense_names_the_setting() {
        for nonsense in
            ["ftp://a:1", "http://", "http://a:", "http://a?b", "http://a:99999", "http://a b"]
        {
            let error = endpoint(&[("YELB_APPSERVER_ENDPOINT", nonsense)]).unwrap_err();
            assert_eq!(
                error,
                "YELB_APPSERVER_ENDPOINT: must be a URL: http://host:4567, https://host/path, or a host",
                "{nonsense}"
            );
        }
        assert_eq!(
            endpoint(&[("APPSERVER_HOST", "a b")]).unwrap_err(),
            "APPSERVER_HOST: must be a host name or an IP address"
        );
        assert_eq!(
            endpoint(&[("APPSERVER_HOST", "a"), ("YELB_APPSERVER_ENDPOINT", "http://a")])
                .unwrap_err(),
            "APPSERVER_HOST: excludes YELB_APPSERVER_ENDPOINT; set one of the two"
        );
    }
}
