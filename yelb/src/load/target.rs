//! Where the load goes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use yelb_service::settings::SettingError;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("yelb-load/", env!("CARGO_PKG_VERSION")));

/// A Yelb, by its URL.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As it is connected to: an IPv6 address has no brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    authority: HeaderValue,
    /// What stands before `/api`, without a slash at its end.
    prefix: String,
}

impl FromStr for Target {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = |problem| SettingError::new("URL", problem);
        let uri: Uri =
            text.parse().map_err(|_| wrong("must be one, such as http://127.0.0.1:8080"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(
                "must begin with http://; TLS is left to what stands in front of a Yelb",
            ));
        }
        let authority = uri.authority().ok_or_else(|| wrong("must have a host"))?.as_str();
        if authority.contains('@') || uri.query().is_some() {
            return Err(wrong("must have a host, maybe a port and a path, and nothing else"));
        }
        // By hand: a port beyond 65535 is none to `Uri`.
        let port = match authority.strip_prefix(uri.host().unwrap_or_default()) {
            Some("") => Some(80),
            rest => rest.and_then(|port| port[1..].parse().ok()).filter(|port| *port > 0),
        };
        Ok(Self {
            host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: port.ok_or_else(|| wrong("must have a port from 1 to 65535"))?,
            authority: authority.parse().map_err(|_| wrong("must have a host"))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority.to_str().unwrap_or_default(), self.prefix)
    }
}

impl Target {
    /// The path of a restaurant or of `getvotes`, to be asked for again and again.
    pub(crate) fn path(&self, name: &str) -> Uri {
        let path = format!("{}/api/{name}", self.prefix);
        path.parse().expect("a prefix from a URL and a name of letters make a path")
    }

    /// A request to this path.
    pub(crate) fn request(&self, path: &Uri, key: Option<&str>) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(USER_AGENT, AGENT);
        if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
            headers.insert(KEY, key);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_maybe_a_port_and_a_path() {
        let target = |url: &str| url.parse::<Target>().unwrap();
        let plain = target("http://yelb");
        assert_eq!((plain.host.as_str(), plain.port), ("yelb", 80));
        assert_eq!(plain.path("ihop"), "/api/ihop");

        let nested = target("http://[::1]:8080/green/");
        assert_eq!((nested.host.as_str(), nested.port), ("::1", 8080));
        assert_eq!(nested.path("getvotes"), "/green/api/getvotes");
        assert_eq!(nested.to_string(), "http://[::1]:8080/green");
        assert_eq!(nested.request(&nested.path("ihop"), None).headers()[HOST], "[::1]:8080");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "yelb:8080",
            "ftp://yelb",
            "https://yelb",
            "http://a@b",
            "http://yelb:",
            "http://yelb:0",
            "http://yelb:99999",
            "http://yelb/?a",
            "/yelb",
        ] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.starts_with("URL: must"), "{url}: {error}");
        }
    }
}
