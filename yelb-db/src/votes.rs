//! Votes: what is recorded, what is read, and how a batch of them is put together.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use yelb_poll::ChoiceId;

use crate::batcher::{Batcher, Input};
use crate::error::StoreError;
use crate::kind::Description;
use crate::status::StatusReceiver;

/// The store of the votes. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct VoteStore {
    pub(crate) record: Batcher<Vote, Recorded>,
    pub(crate) read: Batcher<(), Arc<Tally>>,
    pub(crate) status: StatusReceiver,
    pub(crate) description: Arc<Description>,
}

/// The result of a vote: its own count, or a refusal of its key.
pub(crate) type Recorded = Result<i64, KeyReused>;

impl VoteStore {
    /// Counts a vote, and answers with the count that it made once the store has committed it. A missing row is made.
    ///
    /// A vote whose key was counted before is not counted again, and gets the answer of the first time.
    /// After [`StoreError::Failed`] and [`StoreError::TimedOut`] the vote may have been counted, after any other error it is not.
    pub async fn record(&self, vote: Vote) -> Result<Result<i64, KeyReused>, StoreError> {
        self.record.submit(vote).await
    }

    /// All counts, as a query found them that began after this was called.
    pub async fn read(&self) -> Result<Arc<Tally>, StoreError> {
        self.read.submit(()).await
    }

    /// How the store is.
    pub fn status(&self) -> StatusReceiver {
        self.status.clone()
    }

    /// The store as traces show it.
    pub fn description(&self) -> &Description {
        &self.description
    }
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// What it is for.
    pub choice: ChoiceId,
    /// What makes a retry the same vote.
    pub key: Option<VoteKey>,
}

impl Input for Vote {
    /// With a key it is counted once, however often it is sent.
    fn is_repeatable(&self) -> bool {
        self.key.is_some()
    }
}

/// A vote's `Idempotency-Key`. Cloning it is cheap.
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

/// A key was used before, for another choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used to vote for something else")]
pub struct KeyReused;

/// All counts, as one query found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally(Vec<i64>);

impl Tally {
    /// From the rows of a store, in the order of `names`. A choice without a row has 0 votes; a row that is not in the poll
    /// is left out.
    pub(crate) fn new(names: &[&str], rows: &[(String, i64)]) -> Self {
        let count_of =
            |name: &&str| rows.iter().find(|(row, _)| row == name).map_or(0, |row| row.1);
        Self(names.iter().map(count_of).collect())
    }

    /// The outputs of so many reads that one query answers.
    pub(crate) fn shared(self, reads: usize) -> Vec<Result<Arc<Self>, StoreError>> {
        let tally = Arc::new(self);
        vec![Ok(tally); reads]
    }

    /// The counts, in the order of the poll.
    pub fn counts(&self) -> &[i64] {
        &self.0
    }
}

/// The votes of a batch, sorted for a store: without a key by what they are for, with a key each key once.
#[derive(Debug, Default)]
pub struct VoteBatch<'a> {
    /// What the votes without a key are for, and how many they are for each.
    pub(crate) plain: Vec<(&'static str, i64)>,
    /// The votes with a key.
    pub(crate) keyed: Vec<(&'a str, &'static str)>,
    /// Where each vote's own count comes from, in the order of the batch.
    places: Vec<Place>,
}

/// The places of the votes that stand or fall together where a store refuses a batch: those for one restaurant, with a key, for
/// which there is one more table, or without.
pub(crate) fn parts(votes: &[Vote]) -> Vec<Vec<usize>> {
    let mut parts: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, vote) in votes.iter().enumerate() {
        parts.entry((vote.key.is_some(), vote.choice)).or_default().push(place);
    }
    parts.into_values().collect()
}

/// Where a vote's own count comes from.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The position of its choice in `plain`, and its own 1-based position among that choice's votes.
    Plain(usize, i64),
    /// The position of its key in `keyed`, and what it is for.
    Keyed(usize, &'static str),
}

impl<'a> VoteBatch<'a> {
    /// Sorts the votes of a batch.
    /// `names` are those of the poll's choices, in order.
    pub fn new(names: &[&'static str], votes: &'a [Vote]) -> Self {
        let mut batch = Self { places: Vec::with_capacity(votes.len()), ..Self::default() };
        let mut known = HashMap::new();
        for Vote { choice, key } in votes {
            let name = names[choice.index()];
            let place = match key {
                None => batch.add_plain(name),
                // A key that is in the batch already is the same vote.
                Some(VoteKey(key)) => {
                    let index = *known.entry(&**key).or_insert_with(|| {
                        batch.keyed.push((key, name));
                        batch.keyed.len() - 1
                    });
                    Place::Keyed(index, name)
                }
            };
            batch.places.push(place);
        }
        batch
    }

    fn add_plain(&mut self, name: &'static str) -> Place {
        let known = self.plain.iter().position(|(other, _)| *other == name);
        let index = known.unwrap_or_else(|| {
            self.plain.push((name, 0));
            self.plain.len() - 1
        });
        let (_, votes) = &mut self.plain[index];
        *votes += 1;
        Place::Plain(index, *votes)
    }

    /// The output of each vote.
    ///
    /// The store added the votes of the batch in one step, so the counts in between belong to them, in their order.
    pub(crate) fn outputs(&self, counted: &CountedBatch) -> Vec<Result<Recorded, StoreError>> {
        let output = |place: &Place| match *place {
            Place::Plain(index, position) => Ok(counted.before[index] + position),
            Place::Keyed(index, name) => match &counted.keyed[index] {
                (counted_for, count) if counted_for == name => Ok(*count),
                _ => Err(KeyReused),
            },
        };
        self.places.iter().map(|place| Ok(output(place))).collect()
    }
}

/// What a store has made of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CountedBatch {
    /// For each choice without keys, in the order of the batch: the count before its first vote.
    pub(crate) before: Vec<i64>,
    /// For each key, in the order of the batch: what its vote was counted for, and the count that it made, now or when the
    /// key was first seen.
    pub(crate) keyed: Vec<(String, i64)>,
}

#[cfg(test)]
mod tests {
    use yelb_poll::Poll;

    use super::*;

    fn vote(id: &str, key: Option<&str>) -> Vote {
        let key = key.map(|key| key.parse().unwrap());
        Vote { choice: Poll::default().find(id).unwrap(), key }
    }

    fn outputs(votes: &[Vote], counted: &CountedBatch) -> Vec<Recorded> {
        let outputs = VoteBatch::new(&Poll::default().names(), votes).outputs(counted);
        outputs.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for key in ["", "a b", "ö", "a\0", &"a".repeat(256)] {
            assert_eq!(key.parse::<VoteKey>(), Err(InvalidKey), "{key:?}");
        }
        assert_eq!(&*"\"8e03978e-40d5\"".parse::<VoteKey>().unwrap().0, "\"8e03978e-40d5\"");
    }

    #[test]
    fn every_vote_without_a_key_has_its_own_count() {
        let votes = ["ihop", "outback", "ihop"].map(|id| vote(id, None));
        let counted = CountedBatch { before: vec![44, 11], keyed: vec![] };
        assert_eq!(outputs(&votes, &counted), [Ok(45), Ok(12), Ok(46)]);
    }

    #[test]
    fn a_key_that_comes_twice_is_one_vote() {
        let votes = [vote("ihop", Some("k")), vote("ihop", Some("k"))];
        assert_eq!(VoteBatch::new(&Poll::default().names(), &votes).keyed.len(), 1);
        let counted = CountedBatch { before: vec![], keyed: vec![("ihop".into(), 45)] };
        assert_eq!(outputs(&votes, &counted), [Ok(45), Ok(45)]);
    }

    #[test]
    fn a_key_of_a_vote_for_something_else_is_refused() {
        let votes = [vote("ihop", Some("k")), vote("outback", Some("k"))];
        let counted = CountedBatch { before: vec![], keyed: vec![("ihop".into(), 45)] };
        assert_eq!(outputs(&votes, &counted), [Ok(45), Err(KeyReused)]);
    }

    #[test]
    fn a_tally_is_in_the_order_of_the_poll() {
        let rows = [("chipotle".to_owned(), 3), ("kfc".to_owned(), 9), ("outback".to_owned(), 1)];
        assert_eq!(Tally::new(&Poll::default().names(), &rows).counts(), [1, 0, 0, 3]);
    }
}
