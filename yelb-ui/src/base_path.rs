//! The path under which visitors reach the page, which may be below another site's.

use std::fmt;
use std::str::FromStr;

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// Paths of the page itself, which would be mistaken for it.
const TAKEN: [&str; 3] = ["/api", "/static", "/screen"];

/// Where the page is below the root of its host. Empty, or a path that begins with a slash and does not end with one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// The same request, as it would be at the root.
    ///
    /// Load balancers differ: an ALB's rule hands the whole path on, and a proxy may take this part off. Both arrive.
    pub fn take_off(&self, mut request: Request) -> Request {
        let rest = match request.uri().path_and_query() {
            Some(path) if !self.0.is_empty() => path.as_str().strip_prefix(self.as_str()),
            _ => None,
        };
        let rest = rest.filter(|rest| rest.starts_with('/'));
        if let Some(rest) = rest.and_then(|rest| rest.parse::<PathAndQuery>().ok()) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(rest);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request
    }

    /// Whether this is the page's address but for the slash at its end, by which relative links find their way.
    pub fn lacks_slash(&self, path: &str) -> bool {
        !self.0.is_empty() && path == self.0
    }

    /// As it begins the paths of links.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    /// What was expected.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.bytes().all(is_unreserved)
        };
        let mut segments = path.split('/');
        if segments.next() != Some("") || !segments.all(is_segment) {
            return Err("expected a path such as /yelb, of letters, digits and - . _ ~");
        }
        if TAKEN.contains(&path) {
            return Err(
                "expected a path other than /api, /static and /screen, which are the page's own",
            );
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn base(text: &str) -> BasePath {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_taken_off_where_a_balancer_has_left_it() {
        for (base_path, asked, expected) in [
            ("/yelb", "/yelb/", "/"),
            ("/yelb", "/yelb/api/ihop?again=1", "/api/ihop?again=1"),
            ("/yelb/", "/yelb/static/1/yelb.js", "/static/1/yelb.js"),
            ("/a/b", "/a/b/", "/"),
            ("/yelb", "/api/ihop", "/api/ihop"),
            ("/yelb", "/yelbow", "/yelbow"),
            ("/yelb", "/yelb", "/yelb"),
            ("/yelb", "/yelb?a=b", "/yelb?a=b"),
            ("/", "/yelb/", "/yelb/"),
        ] {
            let request = Request::get(asked).body(Body::empty()).unwrap();
            let request = base(base_path).take_off(request);
            assert_eq!(request.uri().to_string(), expected, "{asked} below {base_path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "yelb", "//", "/a//b", "/../x", "/y{e}lb", "/y elb", "/y%65lb", "/a?b", "/api/",
            "/static", "/screen",
        ] {
            assert!(text.parse::<BasePath>().is_err(), "{text}");
        }
        assert_eq!((base("/").to_string(), base("/a/").to_string()), ("/".into(), "/a".into()));
    }
}
