//! Hosts, ports and base URLs as a person writes them into a setting.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host by its name, which need not resolve yet, or by its address. An IPv6 address is kept without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

/// Where a server listens: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its host.
    pub host: Host,
    /// Its port, never 0.
    pub port: u16,
}

/// Where an HTTP server listens, and the path that its own paths come after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Whether it is `https://`.
    pub tls: bool,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub path: String,
}

const HOST: &str = "expected a host name or an IP address";
const PORT: &str = "expected host:port, with a port from 1 to 65535";
const SCHEME: &str = "expected http:// or https://, or a host without a scheme";
const LOGIN: &str = "expected a URL without a login";
const PATH: &str = "expected a URL without a query, and without spaces in its path";

impl Host {
    /// The name or the address, without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    /// What was expected.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self(address.to_string()));
        }
        match url::Host::parse(text) {
            Ok(url::Host::Domain(name)) => Ok(Self(name)),
            Ok(url::Host::Ipv6(address)) => Ok(Self(address.to_string())),
            // As it is: `127`, which URLs take for 0.0.0.127, may be a name under a search domain.
            Ok(url::Host::Ipv4(_)) => Ok(Self(text.to_owned())),
            Err(_) => Err(HOST),
        }
    }
}

impl Endpoint {
    /// Reads `host:port`, or a host alone if there is a default port.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, &'static str> {
        let (host, port) = match text.rsplit_once(':') {
            // Without brackets, a colon in the host means that all of it is an IPv6 address.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            Some(port) => port.parse().ok(),
            None => default_port,
        };
        let port = port.filter(|&port| port != 0).ok_or(PORT)?;
        Ok(Self { host: host.parse()?, port })
    }
}

impl HttpEndpoint {
    /// Reads `http://host:port/path` or `https://…`. A host without a scheme means `http://`. Without a port, `https://` is at
    /// 443 and all else at `default_port`.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(SCHEME),
            None => (false, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(LOGIN);
        }
        let in_path = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if authority.contains(['?', '#']) || !path.bytes().all(in_path) {
            return Err(PATH);
        }
        let endpoint = Endpoint::parse(authority, Some(if tls { 443 } else { default_port }))?;
        Ok(Self { tls, endpoint, path: path.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Host {
    /// As in a URL: an IPv6 address is in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for HttpEndpoint {
    /// Its URL, with the port in any case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, endpoint, path } = self;
        write!(f, "{}://{endpoint}{path}", if *tls { "https" } else { "http" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<String, &'static str> {
        text.parse().map(|host: Host| host.as_str().to_owned())
    }

    fn endpoint(text: &str, default: Option<u16>) -> Result<String, &'static str> {
        Endpoint::parse(text, default).map(|endpoint| endpoint.to_string())
    }

    fn http(text: &str) -> Result<String, &'static str> {
        HttpEndpoint::parse(text, 4567).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_brackets() {
        for (text, expected) in [
            ("yelb-db", "yelb-db"),
            ("yelb_db.example.com.", "yelb_db.example.com."),
            ("10.0.0.9", "10.0.0.9"),
            ("127", "127"),
            ("::1", "::1"),
            ("[fd00::3]", "fd00::3"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "yelb db", "http://yelb-db", "yelb-db:5432", "yelb@db", "[yelb]", "a/b"] {
            assert_eq!(host(text), Err(HOST), "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, default, expected) in [
            ("xray:2000", None, Ok("xray:2000")),
            ("[::1]:2000", None, Ok("[::1]:2000")),
            ("xray", Some(2000), Ok("xray:2000")),
            ("::1", Some(2000), Ok("[::1]:2000")),
            ("[::1]", Some(2000), Ok("[::1]:2000")),
            ("xray", None, Err(PORT)),
            ("xray:", Some(2000), Err(PORT)),
            ("xray:0", Some(2000), Err(PORT)),
            ("xray:99999", None, Err(PORT)),
            ("[xray]:2000", None, Err(HOST)),
            (":2000", None, Err(HOST)),
        ] {
            assert_eq!(endpoint(text, default), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_http_endpoint_is_a_url_or_a_bare_host() {
        for (text, expected) in [
            ("http://api.example.com:80/", "http://api.example.com:80"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("http://yelb-appserver", "http://yelb-appserver:4567"),
            ("yelb-appserver", "http://yelb-appserver:4567"),
            ("yelb-appserver:80", "http://yelb-appserver:80"),
            ("HTTPS://api.example.com", "https://api.example.com:443"),
            ("https://a.example.com:8443/green/yelb/", "https://a.example.com:8443/green/yelb"),
        ] {
            assert_eq!(http(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_http_endpoint_is_told() {
        for (text, expected) in [
            ("http://", HOST),
            ("http://:4567", HOST),
            ("http://a pi", HOST),
            ("http://api:", PORT),
            ("http://api:99999", PORT),
            ("ftp://api", SCHEME),
            ("http://me:hunter2@api", LOGIN),
            ("http://api?x=y", PATH),
            ("http://api/green yelb", PATH),
        ] {
            assert_eq!(http(text), Err(expected), "{text}");
        }
    }
}
