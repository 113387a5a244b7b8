//! The UI's settings.

use axum::http::Uri;
use axum::http::uri::Authority;
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

/// The address of the app server: what goes into `Host`, by which Envoy picks the virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Authority);

impl Endpoint {
    fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        match (environment.get("YELB_APPSERVER_ENDPOINT")?, environment.get("APPSERVER_HOST")?) {
            (Some(url), Some(host)) => {
                let problem = format!("excludes {}; set one of the two", url.name);
                Err(SettingError::new(host.name, problem))
            }
            (Some(url), None) => Self::from_url(url.value).ok_or_else(|| {
                SettingError::new(url.name, "must be a URL without a path: http://host:4567")
            }),
            (None, Some(host)) => {
                Self::from_url(&format!("http://{}", host.value)).ok_or_else(|| {
                    SettingError::new(host.name, "must be a host name or an IP address")
                })
            }
            (None, None) => Ok(Self::from_url(DEFAULT_ENDPOINT).expect("the default is a URL")),
        }
    }

    /// Reads `http://host:port`, the port being 4567 unless given.
    pub fn from_url(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let plain = uri.scheme_str() == Some("http")
            && matches!(uri.path_and_query().map_or("/", |path| path.as_str()), "" | "/")
            && !authority.as_str().contains('@')
            && is_host(authority.host());
        // Not `authority.port()`, which takes a number that is too large for none.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => APPSERVER_PORT,
            // A colon without a number is a slip.
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        plain.then(|| format!("{}:{port}", authority.host()).parse().ok().map(Self)).flatten()
    }

    /// Host and port.
    pub fn authority(&self) -> &Authority {
        &self.0
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
        Ok(config.appserver.authority().to_string())
    }

    #[test]
    fn the_app_server_is_where_it_is_said_to_be() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[], "yelb-appserver:4567"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://api.example.com:80/")], "api.example.com:80"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://[::1]:1")], "[::1]:1"),
            (&[("YELB_APPSERVER_ENDPOINT", "http://yelb-appserver")], "yelb-appserver:4567"),
            (&[("APPSERVER_HOST", "localhost"), ("UI_ENV", "prod")], "localhost:4567"),
        ];
        for (variables, expected) in cases {
            assert_eq!(endpoint(variables).as_deref(), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn nonsense_names_the_setting() {
        for nonsense in [
            "yelb-appserver:4567",
            "https://a:1",
            "http://",
            "http://a/path",
            "http://a:99999",
            "http://a b",
        ] {
            let error = endpoint(&[("YELB_APPSERVER_ENDPOINT", nonsense)]).unwrap_err();
            assert_eq!(
                error, "YELB_APPSERVER_ENDPOINT: must be a URL without a path: http://host:4567",
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
