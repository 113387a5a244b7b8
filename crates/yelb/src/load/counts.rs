//! The counts that the target reports.

use serde::Deserialize;

/// The counts, in the order in which the target lists them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts(Vec<Count>);

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Count {
    name: String,
    value: i64,
}

impl Counts {
    /// Reads the body of `getvotes`, which lists at least one restaurant.
    pub(crate) fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|counts: &Vec<_>| !counts.is_empty()).map(Self)
    }

    /// The restaurants.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|count| count.name.clone()).collect()
    }

    /// The count of a restaurant; 0 if it is not listed.
    pub(crate) fn of(&self, name: &str) -> i64 {
        self.0.iter().find(|count| count.name == name).map_or(0, |count| count.value)
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
    fn a_body_that_is_no_list_of_counts_is_refused() {
        assert_eq!(Counts::from_body(b"<!doctype html>"), None);
        assert_eq!(Counts::from_body(br#"{"name": "ihop"}"#), None);
        assert_eq!(Counts::from_body(b"[]"), None);
    }
}
