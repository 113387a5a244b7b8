//! What the target says its counts are.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::line::{Failure, Line};
use super::target::Target;

/// The pause between two readings of counts that may still change.
const SETTLING: Duration = Duration::from_millis(200);

/// The counts, in the order of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts(Vec<Count>);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Count {
    name: String,
    value: i64,
}

impl Counts {
    /// Reads the body of `getvotes`.
    pub(crate) fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().map(Self)
    }

    /// Who can be voted for.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|count| count.name.clone()).collect()
    }

    /// The count of one of them; nobody has none.
    pub(crate) fn of(&self, name: &str) -> i64 {
        self.0.iter().find(|count| count.name == name).map_or(0, |count| count.value)
    }
}

/// Why the counts could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCounts {
    target: String,
    failure: Failure,
}

impl std::error::Error for NoCounts {}

impl fmt::Display for NoCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, failure } = self;
        match failure {
            Failure::Status(_) | Failure::BadAnswer => {
                write!(f, "{target} is not a Yelb: no counts at /api/getvotes ({failure})")
            }
            _ => write!(f, "{target} does not answer: {failure}"),
        }
    }
}

/// Reads the counts, once.
pub(crate) async fn read(target: &Target, limit: Duration) -> Result<Counts, NoCounts> {
    let request = target.request(&target.path("getvotes"), None);
    let answer = Line::default().ask(target, request, Instant::now() + limit).await;
    let counts = answer.and_then(|body| match Counts::from_body(&body) {
        Some(counts) if !counts.0.is_empty() => Ok(counts),
        _ => Err(Failure::BadAnswer),
    });
    counts.map_err(|failure| NoCounts { target: target.to_string(), failure })
}

/// Reads the counts until two readings in a row are the same, or the patience is over.
///
/// A server may be counting a vote still that we no longer wait for.
pub(crate) async fn settled(
    target: &Target,
    limit: Duration,
    patience: Duration,
) -> Result<Counts, NoCounts> {
    let until = Instant::now() + patience;
    let mut last = read(target, limit).await;
    loop {
        sleep(SETTLING).await;
        let next = read(target, limit).await;
        if Instant::now() >= until || (next.is_ok() && next == last) {
            return next;
        }
        last = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_list_is_read_with_its_spaces() {
        let body = br#"[{"name": "outback", "value": 11},{"name": "ihop", "value": 44}, {"name": "chipotle", "value": 33}]"#;
        let counts = Counts::from_body(body).unwrap();
        assert_eq!(counts.names(), ["outback", "ihop", "chipotle"]);
        assert_eq!((counts.of("ihop"), counts.of("kfc")), (44, 0));
    }

    #[test]
    fn a_page_is_no_list() {
        assert_eq!(Counts::from_body(b"<!doctype html>"), None);
        assert_eq!(Counts::from_body(br#"{"name": "ihop"}"#), None);
    }
}
