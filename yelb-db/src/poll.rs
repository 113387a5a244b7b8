use std::fmt;
use std::sync::Arc;

/// The restaurants of the original, in the order in which its API lists them.
const ORIGINAL: [&str; 4] = ["outback", "bucadibeppo", "ihop", "chipotle"];

/// A restaurant of the poll: the proof that its name is on the ballot. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Restaurant(Arc<str>);

impl Restaurant {
    /// Its name, in the API's paths and in the store.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Restaurant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The restaurants that can be voted for, in the order in which they are listed.
#[derive(Debug, Clone)]
pub struct Poll(Arc<[Restaurant]>);

impl Default for Poll {
    /// The original's poll.
    fn default() -> Self {
        Self(ORIGINAL.into_iter().map(|name| Restaurant(name.into())).collect())
    }
}

impl Poll {
    /// The restaurant of this name, if it is on the ballot.
    pub fn restaurant(&self, name: &str) -> Option<&Restaurant> {
        self.0.iter().find(|restaurant| restaurant.name() == name)
    }

    /// All of them, in order.
    pub fn restaurants(&self) -> &[Restaurant] {
        &self.0
    }

    /// Their names, in order, as the stores bind them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_not_on_the_ballot() {
        let poll = Poll::default();
        assert!(poll.restaurant("kfc").is_none());
        assert!(poll.restaurant("IHOP").is_none());
        assert_eq!(poll.restaurant("ihop").map(Restaurant::name), Some("ihop"));
    }
}
