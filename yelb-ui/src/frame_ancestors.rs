//! The sites that may show the page in a frame.

use std::fmt;
use std::str::FromStr;

const NONE: &str = "'none'";
const SELF: &str = "'self'";

/// A list for `frame-ancestors` of the page's content security policy (CSP Level 3, section 6.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameAncestors(String);

impl Default for FrameAncestors {
    /// No site. Another site's frame could make visitors vote without their knowledge (clickjacking).
    fn default() -> Self {
        Self(NONE.to_owned())
    }
}

impl FromStr for FrameAncestors {
    /// What was expected.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let sources: Vec<_> = text.split_whitespace().map(quoted).collect();
        let is_list = match sources.as_slice() {
            [] => false,
            [NONE] => true,
            sources => sources.iter().all(|source| *source == SELF || is_origin(source)),
        };
        if is_list {
            Ok(Self(sources.join(" ")))
        } else {
            Err(
                "expected none, self, or origins such as https://workshop.example.com, with spaces between them",
            )
        }
    }
}

/// A policy has its keywords in quotation marks, which a shell takes off.
fn quoted(source: &str) -> &str {
    match source {
        "none" => NONE,
        "self" => SELF,
        origin => origin,
    }
}

/// Whether it is a scheme and a host, perhaps with a port; `*` stands for every name below a domain. Nothing that could begin
/// another directive of the policy.
fn is_origin(source: &str) -> bool {
    let rest = source.strip_prefix("https://").or_else(|| source.strip_prefix("http://"));
    let host = rest.map(|rest| rest.strip_prefix("*.").unwrap_or(rest));
    host.is_some_and(|host| {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(is_host)
    })
}

impl fmt::Display for FrameAncestors {
    /// As in the policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_origins_make_a_policy() {
        for (text, expected) in [
            ("none", "'none'"),
            ("'none'", "'none'"),
            ("self  https://workshop.example.com", "'self' https://workshop.example.com"),
            (
                "https://*.example.com http://127.0.0.1:8080",
                "https://*.example.com http://127.0.0.1:8080",
            ),
        ] {
            assert_eq!(text.parse::<FrameAncestors>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_would_change_another_part_of_the_policy_is_refused() {
        for text in [
            "",
            "none self",
            "*",
            "example.com",
            "https://",
            "https://a; script-src *",
            "https://a/b",
            "'unsafe-inline'",
        ] {
            assert!(text.parse::<FrameAncestors>().is_err(), "{text}");
        }
    }
}
