//! Who is voted for: chance, but the same chance for the same seed.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use yelb_service::settings::SettingError;

/// Names and how many of the votes each of them gets, relative to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights(Vec<(String, u32)>);

impl FromStr for Weights {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = |problem: String| SettingError::new("--weights", problem);
        let mut weights: Vec<(String, u32)> = Vec::new();
        for entry in text.split(',') {
            let (name, weight) = parse(entry).ok_or_else(|| {
                wrong("must be a list such as ihop=4,chipotle=1, the weights whole numbers".into())
            })?;
            if weights.iter().any(|(other, _)| other == name) {
                return Err(wrong(format!("names {name} twice")));
            }
            weights.push((name.to_owned(), weight));
        }
        // Nobody votes for them, and so nobody has to be on the list of the target.
        weights.retain(|(_, weight)| *weight > 0);
        if weights.is_empty() { Err(wrong("must not all be 0".into())) } else { Ok(Self(weights)) }
    }
}

fn parse(entry: &str) -> Option<(&str, u32)> {
    let (name, weight) = entry.split_once('=')?;
    let name = name.trim();
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // It becomes a part of a path, of which these have a meaning of their own.
    let named = !matches!(name, "" | "." | "..") && name.bytes().all(usable);
    named.then_some((name, weight.trim().parse().ok()?))
}

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A vote for the restaurant of this index.
    Vote(usize),
    /// The counts.
    Read,
}

/// Decides what each request asks for.
#[derive(Debug)]
pub(crate) struct Ballot {
    names: Vec<String>,
    /// Sums of the weights up to and including each.
    sums: Vec<u64>,
    reads: u8,
    seed: u64,
    /// Another one each time, so that keys of an earlier load, with whatever seed, are not met again.
    run: u64,
}

impl Ballot {
    /// Votes for those who are `listed` by these weights, or for all alike.
    pub(crate) fn new(
        weights: Option<&Weights>,
        listed: &[String],
        reads: u8,
        seed: u64,
    ) -> Result<Self, SettingError> {
        let alike = || Weights(listed.iter().map(|name| (name.clone(), 1)).collect());
        let Weights(weights) = weights.cloned().unwrap_or_else(alike);
        if let Some((stranger, _)) = weights.iter().find(|(name, _)| !listed.contains(name)) {
            let problem = format!("names {stranger}; the target has {}", listed.join(", "));
            return Err(SettingError::new("--weights", problem));
        }
        let sums = weights.iter().scan(0, |sum, (_, weight)| {
            *sum += u64::from(*weight);
            Some(*sum)
        });
        let sums = sums.collect();
        let names = weights.into_iter().map(|(name, _)| name).collect();
        Ok(Self { names, sums, reads, seed, run: RandomState::new().hash_one(seed) })
    }

    /// The names that are voted for.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// What the request of this number asks for.
    pub(crate) fn choose(&self, number: u64) -> Choice {
        let chance = mix(self.seed ^ mix(number));
        if chance % 100 < u64::from(self.reads) {
            return Choice::Read;
        }
        let all = self.sums.last().copied().unwrap_or(1);
        let drawn = mix(chance) % all;
        Choice::Vote(self.sums.partition_point(|sum| *sum <= drawn))
    }

    /// The `Idempotency-Key` of the vote of this number.
    pub(crate) fn key(&self, number: u64) -> String {
        format!("load-{:016x}-{number}", self.run)
    }
}

/// The step of `SplitMix64`: numbers in, numbers out that look like chance.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<String> {
        ["outback", "bucadibeppo", "ihop", "chipotle"].map(str::to_owned).to_vec()
    }

    fn ballot(weights: &str, reads: u8, seed: u64) -> Ballot {
        Ballot::new(Some(&weights.parse().unwrap()), &listed(), reads, seed).unwrap()
    }

    fn shares(ballot: &Ballot, requests: u64) -> (Vec<u32>, u32) {
        let (mut votes, mut reads) = (vec![0; ballot.names().len()], 0);
        for number in 0..requests {
            match ballot.choose(number) {
                Choice::Vote(index) => votes[index] += 1,
                Choice::Read => reads += 1,
            }
        }
        (votes, reads)
    }

    #[test]
    fn votes_are_shared_by_weight() {
        let (votes, reads) =
            shares(&ballot("ihop=4, chipotle=2,outback=1,bucadibeppo=1", 20, 7), 100_000);
        assert!(reads.abs_diff(20_000) < 1000, "{reads}");
        for (share, wanted) in votes.iter().zip([40_000_u32, 20_000, 10_000, 10_000]) {
            assert!(share.abs_diff(wanted) < 1000, "{votes:?}");
        }
    }

    #[test]
    fn a_weight_of_0_gets_nothing_and_all_get_the_same_unless_told() {
        assert_eq!(ballot("ihop=1,kfc=0", 0, 1).names(), ["ihop"]);
        let (votes, _) = shares(&Ballot::new(None, &listed(), 0, 1).unwrap(), 40_000);
        assert!(votes.iter().all(|share| share.abs_diff(10_000) < 500), "{votes:?}");
    }

    #[test]
    fn a_seed_makes_the_same_choices_and_other_keys() {
        let (one, same, other) = (
            ballot("ihop=1,outback=1", 5, 9),
            ballot("ihop=1,outback=1", 5, 9),
            ballot("ihop=1,outback=1", 5, 10),
        );
        let choices =
            |ballot: &Ballot| (0..100).map(|number| ballot.choose(number)).collect::<Vec<_>>();
        assert_eq!(choices(&one), choices(&same));
        assert_ne!(choices(&one), choices(&other));
        assert_ne!(one.key(0), same.key(0));
        assert_ne!(one.key(0), one.key(1));
    }

    #[test]
    fn a_stranger_is_refused_with_the_list() {
        let weights = "kfc=1".parse().unwrap();
        let error = Ballot::new(Some(&weights), &listed(), 0, 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "--weights: names kfc; the target has outback, bucadibeppo, ihop, chipotle"
        );
    }

    #[test]
    fn what_is_no_list_of_weights_is_refused() {
        for text in [
            "",
            "ihop",
            "ihop=",
            "ihop=-1",
            "ihop=1.5",
            "=1",
            "a/b=1",
            "..=1",
            "ihop=1,ihop=2",
            "ihop=0",
        ] {
            let error = text.parse::<Weights>().unwrap_err().to_string();
            assert!(error.starts_with("--weights: "), "{text}: {error}");
        }
    }
}
