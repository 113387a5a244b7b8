//! Queries: none means anything here, but the original refuses some, and then counts nothing.
//!
//! Its parser (Rack) wants valid escapes, valid UTF-8, and names such as `a[b]` and `a[]` that do not contradict each
//! other.

use std::collections::HashMap;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    /// A `%` without two hexadecimal digits.
    #[error("The query has a % that is not followed by two hexadecimal digits.")]
    Escape,
    /// Bytes that are no text.
    #[error("The query is not UTF-8.")]
    Text,
    /// A name that is used as two different things.
    #[error("The query uses one name in two ways, such as `a` and `a[b]`.")]
    Contradiction,
}

/// Checks what the original checks.
pub fn check(query: &str) -> Result<(), InvalidQuery> {
    let mut names = Names::default();
    for pair in query.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        text(value)?;
        names.add(&text(name)?)?;
    }
    Ok(())
}

/// The text of an escaped part of a query.
fn text(escaped: &str) -> Result<String, InvalidQuery> {
    let stray = escaped.split('%').skip(1).any(|rest| hex_pair(rest.as_bytes()).is_none());
    if stray {
        return Err(InvalidQuery::Escape);
    }
    let bytes = percent_encoding::percent_decode_str(escaped);
    bytes.decode_utf8().map(Into::into).map_err(|_| InvalidQuery::Text)
}

/// Writes the escapes of those bytes for which `plain` holds as the bytes themselves; they must be ASCII.
pub fn unescape_where(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut parts = text.split('%');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match hex_pair(part.as_bytes()).filter(|byte| byte.is_ascii() && plain(*byte)) {
            Some(byte) => {
                unescaped.push(char::from(byte));
                unescaped.push_str(&part[2..]);
            }
            None => {
                unescaped.push('%');
                unescaped.push_str(part);
            }
        }
    }
    unescaped
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [high, low, ..] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    }
}

/// How each name, and each prefix of a name with brackets, has been used so far.
#[derive(Default)]
struct Names(HashMap<String, Use>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Value,
    List,
    Table,
}

impl Names {
    /// Adds `a`, `a[]`, `a[b]` or a longer one of the kind.
    fn add(&mut self, name: &str) -> Result<(), InvalidQuery> {
        let (mut prefix, mut rest) = match name.split_once('[') {
            Some((first, rest)) if !first.is_empty() => (first.to_owned(), Some(rest)),
            _ => (name.to_owned(), None),
        };
        while let Some((key, after)) = rest.and_then(|rest| rest.split_once(']')) {
            let kind = if key.is_empty() { Use::List } else { Use::Table };
            self.note(&prefix, kind)?;
            if key.is_empty() {
                // What is in a list has no name that could be used twice.
                return Ok(());
            }
            prefix = format!("{prefix}[{key}]");
            rest = after.strip_prefix('[');
        }
        self.note(&prefix, Use::Value)
    }

    fn note(&mut self, name: &str, kind: Use) -> Result<(), InvalidQuery> {
        match self.0.insert(name.to_owned(), kind) {
            // A later plain value replaces what was there; the other way round is the contradiction.
            Some(before) if before != kind && kind != Use::Value => {
                Err(InvalidQuery::Contradiction)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_parse_are_let_through() {
        for query in [
            "x=1",
            "a=%00",
            "_method=POST",
            "a",
            "&&",
            "a[b]=1&a[c]=2",
            "a[]=1&a[]=2",
            "=",
            "[",
            "a[",
            "a[b]=1&a=2",
        ] {
            assert_eq!(check(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn queries_that_do_not_are_refused() {
        for query in ["a=%zz", "a=%", "a=%4", "%=1"] {
            assert_eq!(check(query), Err(InvalidQuery::Escape), "{query}");
        }
        assert_eq!(check("%ff=1"), Err(InvalidQuery::Text));
        for query in ["a[b]=1&a[]=2", "a=1&a[b]=2", "a=1&a[]=2", "a[b]=1&a[b][c]=2"] {
            assert_eq!(check(query), Err(InvalidQuery::Contradiction), "{query}");
        }
    }
}
