//! What each request asks for: chance, but the same chance for the same seed.

use std::hash::{BuildHasher, RandomState};

use yelb_service::settings::SettingError;

use super::options::LoadOptions;

/// Decides what each request asks for.
#[derive(Debug)]
pub(crate) struct Workload {
    /// The restaurants that are voted for.
    pub(crate) names: Vec<String>,
    /// Sums of the weights up to and including each.
    sums: Vec<u64>,
    reads: u8,
    seed: u64,
    /// Differs between runs with the same seed, so that no key of an earlier run is sent again.
    run: u64,
}

impl Workload {
    /// Votes for `listed` restaurants by the weights, or evenly if there are none.
    pub(crate) fn new(options: &LoadOptions, listed: &[String]) -> Result<Self, SettingError> {
        let LoadOptions { weights, reads, seed, .. } = options;
        let wrong = |problem: String| Err(SettingError::new("--weights", problem));
        let (mut names, mut sums, mut sum) = (Vec::new(), Vec::new(), 0);
        // A restaurant without votes need not be on the list of the target.
        for (name, weight) in weights.iter().filter(|(_, weight)| *weight > 0) {
            if !listed.contains(name) {
                return wrong(format!("names {name}; the target has {}", listed.join(", ")));
            }
            if names.contains(name) {
                return wrong(format!("names {name} twice"));
            }
            sum += u64::from(*weight);
            names.push(name.clone());
            sums.push(sum);
        }
        if weights.is_empty() {
            (names, sums) = (listed.to_vec(), (1..=listed.len() as u64).collect());
        } else if names.is_empty() {
            return wrong("are all 0".to_owned());
        }
        let run = RandomState::new().hash_one(seed);
        Ok(Self { names, sums, reads: *reads, seed: *seed, run })
    }

    /// The restaurant that the request of this number votes for; none if it reads the counts.
    pub(crate) fn restaurant(&self, number: u64) -> Option<usize> {
        let chance = mix(self.seed ^ mix(number));
        if chance % 100 < u64::from(self.reads) {
            return None;
        }
        let all = self.sums.last().copied().unwrap_or(1);
        let drawn = mix(chance) % all;
        Some(self.sums.partition_point(|sum| *sum <= drawn))
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
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: LoadOptions,
    }

    fn listed() -> Vec<String> {
        ["outback", "bucadibeppo", "ihop", "chipotle"].map(str::to_owned).to_vec()
    }

    fn workload(arguments: &str) -> Result<Workload, SettingError> {
        let words = std::iter::once("load").chain(arguments.split_whitespace());
        Workload::new(&Cli::try_parse_from(words).unwrap().options, &listed())
    }

    fn shares(workload: &Workload, requests: u64) -> (Vec<u32>, u32) {
        let (mut votes, mut reads) = (vec![0; workload.names.len()], 0);
        for number in 0..requests {
            match workload.restaurant(number) {
                Some(index) => votes[index] += 1,
                None => reads += 1,
            }
        }
        (votes, reads)
    }

    #[test]
    fn votes_are_shared_by_weight() {
        let weights = "--weights ihop=4,chipotle=2,outback=1,bucadibeppo=1 --reads 20 --seed 7";
        let (votes, reads) = shares(&workload(weights).unwrap(), 100_000);
        assert!(reads.abs_diff(20_000) < 1000, "{reads}");
        for (share, wanted) in votes.iter().zip([40_000_u32, 20_000, 10_000, 10_000]) {
            assert!(share.abs_diff(wanted) < 1000, "{votes:?}");
        }
    }

    #[test]
    fn a_weight_of_0_gets_nothing_and_all_get_the_same_by_default() {
        assert_eq!(workload("--weights ihop=1,kfc=0").unwrap().names, ["ihop"]);
        let (votes, _) = shares(&workload("").unwrap(), 40_000);
        assert!(votes.iter().all(|share| share.abs_diff(10_000) < 500), "{votes:?}");
    }

    #[test]
    fn a_seed_makes_the_same_choices_and_other_keys() {
        let seeded = |seed| format!("--weights ihop=1,outback=1 --reads 5 --seed {seed}");
        let [one, same, other] = [9, 9, 10].map(|seed| workload(&seeded(seed)).unwrap());
        let choices = |workload: &Workload| {
            (0..100).map(|number| workload.restaurant(number)).collect::<Vec<_>>()
        };
        assert_eq!(choices(&one), choices(&same));
        assert_ne!(choices(&one), choices(&other));
        assert_ne!(one.key(0), same.key(0));
        assert_ne!(one.key(0), one.key(1));
    }

    #[test]
    fn weights_that_make_no_workload_are_refused() {
        for (weights, problem) in [
            ("kfc=1", "names kfc; the target has outback, bucadibeppo, ihop, chipotle"),
            ("ihop=1,ihop=2", "names ihop twice"),
            ("ihop=0", "are all 0"),
        ] {
            let error = workload(&format!("--weights {weights}")).unwrap_err().to_string();
            assert_eq!(error, format!("--weights: {problem}"));
        }
    }
}
