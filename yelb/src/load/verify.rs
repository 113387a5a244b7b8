//! Whether every vote was counted, and counted once.

use serde::Serialize;

use super::counts::Counts;
use super::figures::Fate;

/// The votes of a load and the counts that they made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Votes that went out at least once.
    pub(crate) sent: u64,
    /// Votes that were answered with a number.
    pub(crate) acknowledged: u64,
    /// Votes that were answered with a final no.
    pub(crate) refused: u64,
    /// Votes of which nobody knows whether they were counted: unanswered, or answered with a failure.
    pub(crate) unresolved: u64,
    /// By how much the counts have grown.
    pub(crate) counted: i64,
    /// Votes that were answered with a number and are not in the counts.
    pub(crate) lost: u64,
    /// Counts that no vote was sent for, or only one that was refused.
    pub(crate) duplicated: u64,
    /// Answers with a number that another vote had got before. They change no count; the original gives them.
    pub(crate) repeated_answers: u64,
}

impl Verdict {
    /// Judges each restaurant by itself, so that one's loss does not make good another's surplus.
    pub(crate) fn new(names: &[String], fates: &[Fate], before: &Counts, after: &Counts) -> Self {
        let mut verdict = Self::default();
        for (name, fate) in names.iter().zip(fates) {
            verdict.add(fate, after.of(name) - before.of(name));
        }
        verdict
    }

    /// What was answered with a number must have been counted; what may have been counted besides is what nobody knows of.
    /// With keys and retries that is nothing, once every vote is resolved.
    fn add(&mut self, fate: &Fate, counted: i64) {
        let at_least = i64::try_from(fate.acknowledged).unwrap_or(i64::MAX);
        let at_most = at_least.saturating_add_unsigned(fate.unresolved());
        self.sent += fate.sent;
        self.acknowledged += fate.acknowledged;
        self.refused += fate.refused;
        self.unresolved += fate.unresolved();
        self.counted += counted;
        self.lost += above(at_least, counted);
        self.duplicated += above(counted, at_most);
        self.repeated_answers += fate.repeated;
    }

    /// Whether every vote that was acknowledged was counted, and nothing was counted twice.
    pub(crate) fn holds(&self) -> bool {
        self.lost == 0 && self.duplicated == 0
    }
}

/// By how much `one` is above `other`.
fn above(one: i64, other: i64) -> u64 {
    u64::try_from(one.saturating_sub(other)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fate(sent: u64, acknowledged: u64, refused: u64) -> Fate {
        Fate { sent, acknowledged, refused, ..Fate::default() }
    }

    fn judge(fate: &Fate, counted: i64) -> (u64, u64) {
        let mut verdict = Verdict::default();
        verdict.add(fate, counted);
        assert_eq!(verdict.holds(), (verdict.lost, verdict.duplicated) == (0, 0));
        (verdict.lost, verdict.duplicated)
    }

    #[test]
    fn all_resolved_means_counted_as_acknowledged() {
        assert_eq!(judge(&fate(10, 10, 0), 10), (0, 0));
        assert_eq!(judge(&fate(10, 10, 0), 9), (1, 0));
        assert_eq!(judge(&fate(10, 10, 0), 12), (0, 2));
        // A vote that was refused and counted all the same.
        assert_eq!(judge(&fate(10, 9, 1), 10), (0, 1));
    }

    #[test]
    fn a_vote_of_unknown_fate_may_or_may_not_be_counted() {
        assert_eq!(judge(&fate(10, 8, 0), 8), (0, 0));
        assert_eq!(judge(&fate(10, 8, 0), 10), (0, 0));
        assert_eq!(judge(&fate(10, 8, 0), 7), (1, 0));
        assert_eq!(judge(&fate(10, 8, 0), 11), (0, 1));
    }

    #[test]
    fn counts_that_begin_anew_lose_all() {
        assert_eq!(judge(&fate(10, 10, 0), -90), (100, 0));
    }

    #[test]
    fn a_loss_here_is_not_made_good_by_a_surplus_there() {
        let names = ["ihop".to_owned(), "outback".to_owned()];
        let counts = |ihop: i64, outback: i64| {
            let body = format!(
                r#"[{{"name":"ihop","value":{ihop}}},{{"name":"outback","value":{outback}}}]"#
            );
            Counts::from_body(body.as_bytes()).unwrap()
        };
        let fates = [fate(5, 5, 0), fate(5, 5, 0)];
        let verdict = Verdict::new(&names, &fates, &counts(100, 200), &counts(104, 206));
        assert_eq!((verdict.sent, verdict.counted), (10, 10));
        assert_eq!((verdict.lost, verdict.duplicated), (1, 1));
    }

    proptest! {
        #[test]
        fn exactly_what_lies_between_acknowledged_and_sent_holds(
            acknowledged in 0..1000_u64, unknown in 0..100_u64, counted in 0..1200_i64,
        ) {
            let sent = acknowledged + unknown;
            let (lost, duplicated) = judge(&fate(sent, acknowledged, 0), counted);
            let (low, high) = (i64::try_from(acknowledged).unwrap(), i64::try_from(sent).unwrap());
            prop_assert_eq!((lost, duplicated) == (0, 0), (low..=high).contains(&counted));
            prop_assert!(lost == 0 || duplicated == 0);
        }
    }
}
