//! Where the page is, as its visitor sees it: scheme and host, for the links that other sites follow.

use http::{HeaderMap, header};

/// The longest name of a host (RFC 1035 section 2.3.4), and a port.
const LONGEST_HOST: usize = 253 + 6;

/// Scheme and host that were asked for, `https://yelb.example.com`; empty if the request does not say.
///
/// Only what can be a host, because it becomes part of the page.
pub(super) fn of(request: &HeaderMap) -> String {
    let text = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    match text(header::HOST.as_str()) {
        Some(host) if (1..=LONGEST_HOST).contains(&host.len()) && host.bytes().all(is_host) => {
            // The proxy that ends TLS sends this field. Proxies behind it add theirs at the end.
            let scheme = text("x-forwarded-proto").and_then(|schemes| schemes.split(',').next());
            let is_https = scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
            format!("{}://{host}", if is_https { "https" } else { "http" })
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(fields: &[(&str, &str)]) -> String {
        of(&fields
            .iter()
            .map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            })
            .collect())
    }

    #[test]
    fn it_is_what_the_visitor_asked_for() {
        assert_eq!(origin(&[("host", "127.0.0.1:8080")]), "http://127.0.0.1:8080");
        assert_eq!(origin(&[("host", "[::1]:8080")]), "http://[::1]:8080");
        let behind_tls = [("host", "yelb.example.com"), ("x-forwarded-proto", "https")];
        assert_eq!(origin(&behind_tls), "https://yelb.example.com");
        let behind_two = [("host", "yelb.example.com"), ("x-forwarded-proto", "HTTPS, http")];
        assert_eq!(origin(&behind_two), "https://yelb.example.com");
        assert_eq!(origin(&[("host", "my_host:8080")]), "http://my_host:8080");
    }

    #[test]
    fn nothing_that_is_no_host_gets_into_the_page() {
        for host in ["", "a\"><script>", "a/b", "a b", "a@b", &"a".repeat(260)] {
            assert_eq!(origin(&[("host", host)]), "", "{host}");
        }
        assert_eq!(origin(&[]), "");
        assert_eq!(origin(&[("host", "a"), ("x-forwarded-proto", "javascript")]), "http://a");
    }
}
