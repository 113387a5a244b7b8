use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::str::FromStr;
use std::sync::Arc;

use crate::Restaurant;

/// A vote's `Idempotency-Key`: what makes a retry the same vote. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VoteKey(Arc<str>);

/// A key that cannot be stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 255 visible ASCII characters")]
pub struct InvalidKey;

impl FromStr for VoteKey {
    type Err = InvalidKey;

    fn from_str(key: &str) -> Result<Self, InvalidKey> {
        let usable =
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if usable { Ok(Self(key.into())) } else { Err(InvalidKey) }
    }
}

impl VoteKey {
    /// As it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Votes that are counted together.
#[derive(Debug, Default)]
pub struct Round {
    /// How many each restaurant got without a key.
    plain: Vec<(Restaurant, i64)>,
    /// Those with a key, each key once.
    keyed: Vec<(VoteKey, Restaurant)>,
    places: HashMap<VoteKey, usize>,
}

/// One's own vote in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticket {
    /// The how manyth vote, counted from 1, for the how manyth restaurant of the round.
    Plain {
        /// Index of the restaurant.
        restaurant: usize,
        /// Place among its votes.
        place: i64,
    },
    /// The how manyth of the votes with a key, and whom it is for.
    Keyed {
        /// Index among the votes with a key.
        index: usize,
        /// Whom it is for.
        restaurant: Restaurant,
    },
}

impl Round {
    /// Adds a vote. One with a key that is here already is the same vote.
    pub fn add(&mut self, restaurant: &Restaurant, key: Option<VoteKey>) -> Ticket {
        match key {
            None => self.add_plain(restaurant),
            Some(key) => Ticket::Keyed {
                index: self.add_keyed(restaurant, key),
                restaurant: restaurant.clone(),
            },
        }
    }

    fn add_plain(&mut self, restaurant: &Restaurant) -> Ticket {
        let index =
            self.plain.iter().position(|(name, _)| name == restaurant).unwrap_or_else(|| {
                self.plain.push((restaurant.clone(), 0));
                self.plain.len() - 1
            });
        let (_, votes) = &mut self.plain[index];
        *votes += 1;
        Ticket::Plain { restaurant: index, place: *votes }
    }

    fn add_keyed(&mut self, restaurant: &Restaurant, key: VoteKey) -> usize {
        match self.places.entry(key) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                self.keyed.push((place.key().clone(), restaurant.clone()));
                *place.insert(self.keyed.len() - 1)
            }
        }
    }

    /// How many each restaurant got without a key.
    pub(crate) fn plain(&self) -> &[(Restaurant, i64)] {
        &self.plain
    }

    /// Those with a key, each key once.
    pub(crate) fn keyed(&self) -> &[(VoteKey, Restaurant)] {
        &self.keyed
    }
}

/// What a store has made of a round.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    /// For each restaurant of the round, in its order: the count before its first vote without a key.
    pub(crate) before: Vec<i64>,
    /// For each vote with a key, in the order of the round: whom it was counted for, and the count that it made, be it now
    /// or when the key was first seen.
    pub(crate) keyed: Vec<(String, i64)>,
}

/// A key was used before, for another restaurant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used for another restaurant")]
pub struct KeyReused;

impl Counted {
    /// The count that one's own vote has made.
    ///
    /// The store added the votes of the round in one step: the counts in between are nobody else's.
    pub fn count(&self, ticket: Ticket) -> Result<i64, KeyReused> {
        match ticket {
            Ticket::Plain { restaurant, place } => Ok(self.before[restaurant] + place),
            Ticket::Keyed { index, restaurant } => match &self.keyed[index] {
                (name, count) if name == restaurant.name() => Ok(*count),
                _ => Err(KeyReused),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Poll;

    fn restaurant(name: &str) -> Restaurant {
        Poll::default().restaurant(name).unwrap().clone()
    }

    fn key(text: &str) -> VoteKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for key in ["", "a b", "ö", "a\0", &"a".repeat(256)] {
            assert_eq!(key.parse::<VoteKey>(), Err(InvalidKey), "{key:?}");
        }
        assert_eq!("\"8e03978e-40d5\"".parse::<VoteKey>().unwrap().as_str(), "\"8e03978e-40d5\"");
    }

    #[test]
    fn every_vote_without_a_key_has_its_own_count() {
        let mut round = Round::default();
        let tickets: Vec<Ticket> = ["ihop", "outback", "ihop"]
            .into_iter()
            .map(|name| round.add(&restaurant(name), None))
            .collect();
        let counted = Counted { before: vec![44, 11], keyed: vec![] };

        let counts: Vec<i64> =
            tickets.into_iter().map(|ticket| counted.count(ticket).unwrap()).collect();
        assert_eq!(counts, [45, 12, 46]);
    }

    #[test]
    fn a_key_that_comes_twice_is_one_vote() {
        let mut round = Round::default();
        let first = round.add(&restaurant("ihop"), Some(key("k")));
        assert_eq!(first, round.add(&restaurant("ihop"), Some(key("k"))));
        assert_eq!(round.keyed().len(), 1);
    }

    #[test]
    fn a_key_of_another_restaurants_vote_is_refused() {
        let mut round = Round::default();
        round.add(&restaurant("ihop"), Some(key("k")));
        let ticket = round.add(&restaurant("outback"), Some(key("k")));
        let counted = Counted { before: vec![], keyed: vec![("ihop".into(), 45)] };
        assert_eq!(counted.count(ticket), Err(KeyReused));
    }
}
