//! Whether what clients saw of a counter could have come from one counter that does one thing after the other:
//! linearizability (Herlihy and Wing, 1990).
//!
//! In general that takes trying all orders. Here every vote is told which count it made, so that there is one order to judge: a
//! vote that made 7 comes seventh, and a read of 7 between it and the eighth. What is left to see is whether this order
//! contradicts the clocks, and whether there is a vote for each count.

/// What one client did and saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    /// When it was sent, on a clock that all clients share.
    pub(crate) began: u64,
    /// When it was answered.
    pub(crate) ended: u64,
    /// What it was, and what came of it.
    pub(crate) saw: Saw,
}

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saw {
    /// A vote that was told the count that it made.
    Vote(i64),
    /// A read, and the count.
    Read(i64),
    /// A vote that was not answered, or with a failure: it was counted at some time after it was sent, or never.
    Unknown,
}

impl Operation {
    fn count(&self) -> Option<i64> {
        match self.saw {
            Saw::Vote(count) | Saw::Read(count) => Some(count),
            Saw::Unknown => None,
        }
    }

    fn vote(&self) -> Option<i64> {
        match self.saw {
            Saw::Vote(count) => Some(count),
            Saw::Read(_) | Saw::Unknown => None,
        }
    }
}

/// Whether one counter that began at `start` could have answered all of these; if not, what contradicts it.
pub(crate) fn check(start: i64, operations: &[Operation]) -> Result<(), String> {
    follows_the_clock(start, operations)?;
    every_count_has_a_vote(start, operations)
}

/// An operation that begins after another was answered sees at least as much as that one, and a vote makes more.
fn follows_the_clock(start: i64, operations: &[Operation]) -> Result<(), String> {
    let known = |operation: &&Operation| operation.saw != Saw::Unknown;
    let mut beginnings: Vec<&Operation> = operations.iter().filter(known).collect();
    let mut ends = beginnings.clone();
    beginnings.sort_by_key(|operation| operation.began);
    ends.sort_by_key(|operation| operation.ended);
    let mut ended = ends.into_iter().peekable();
    let mut seen = start;
    for operation in beginnings {
        while let Some(before) = ended.next_if(|before| before.ended < operation.began) {
            seen = seen.max(before.count().unwrap_or(seen));
        }
        let possible = match operation.saw {
            Saw::Vote(count) => count > seen,
            Saw::Read(count) => count >= seen,
            Saw::Unknown => true,
        };
        if !possible {
            return Err(format!("{operation:?} began when {seen} had been seen"));
        }
    }
    Ok(())
}

/// A count that no answered vote has made was made by one of those that are not known, and that was sent before a client saw
/// as much.
fn every_count_has_a_vote(start: i64, operations: &[Operation]) -> Result<(), String> {
    let mut votes: Vec<i64> = operations.iter().filter_map(Operation::vote).collect();
    votes.sort_unstable();
    if let Some([twice, ..]) = votes.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two votes have made {twice}"));
    }
    let highest = operations.iter().filter_map(Operation::count).max().unwrap_or(start);
    let mut missing = (start + 1..=highest).filter(|count| votes.binary_search(count).is_err());
    let mut unknown: Vec<u64> = operations
        .iter()
        .filter(|operation| operation.saw == Saw::Unknown)
        .map(|operation| operation.began)
        .collect();
    unknown.sort_unstable();
    // The earliest unknown votes for the lowest counts: a vote that could make a count could make every higher one.
    let mut unknown = unknown.into_iter();
    missing.try_for_each(|count| {
        let seen_by = |operation: &&Operation| operation.count().is_some_and(|seen| seen >= count);
        let first = operations.iter().filter(seen_by).map(|operation| operation.ended).min();
        match (unknown.next(), first) {
            (Some(sent), Some(first)) if sent <= first => Ok(()),
            _ => Err(format!("no vote can have made {count}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operation(began: u64, ended: u64, saw: Saw) -> Operation {
        Operation { began, ended, saw }
    }

    #[track_caller]
    fn refused(operations: &[Operation], why: &str) {
        let error = check(0, operations).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn what_overlaps_may_be_seen_in_any_order() {
        let history = [
            operation(0, 10, Saw::Vote(2)),
            operation(1, 9, Saw::Vote(1)),
            operation(2, 3, Saw::Read(0)),
            operation(4, 5, Saw::Read(2)),
            operation(6, 20, Saw::Unknown),
            operation(15, 16, Saw::Read(3)),
        ];
        assert_eq!(check(0, &history), Ok(()));
    }

    #[test]
    fn a_stale_read_is_refused() {
        refused(
            &[operation(0, 1, Saw::Vote(1)), operation(2, 3, Saw::Read(0))],
            "began when 1 had been seen",
        );
        refused(
            &[
                operation(0, 9, Saw::Vote(1)),
                operation(1, 2, Saw::Read(1)),
                operation(3, 4, Saw::Read(0)),
            ],
            "began when 1 had been seen",
        );
    }

    #[test]
    fn a_count_that_two_votes_got_is_refused() {
        refused(
            &[operation(0, 9, Saw::Vote(1)), operation(0, 9, Saw::Vote(1))],
            "two votes have made 1",
        );
    }

    #[test]
    fn a_count_that_no_vote_can_have_made_is_refused() {
        refused(&[operation(0, 1, Saw::Read(1))], "no vote can have made 1");
        // It was sent too late.
        refused(
            &[operation(0, 1, Saw::Read(1)), operation(2, 3, Saw::Unknown)],
            "no vote can have made 1",
        );
        refused(&[operation(0, 1, Saw::Vote(2))], "no vote can have made 1");
    }

    /// Tries every order.
    fn some_order_works(count: i64, left: &[Operation]) -> bool {
        let known = |operation: &Operation| operation.saw != Saw::Unknown;
        if !left.iter().any(known) {
            return true;
        }
        (0..left.len()).any(|next| {
            let mut rest = left.to_vec();
            let next = rest.swap_remove(next);
            let another_ended_before =
                rest.iter().any(|other| known(other) && other.ended < next.began);
            let after = match next.saw {
                Saw::Vote(made) if made == count + 1 => Some(made),
                Saw::Read(seen) if seen == count => Some(count),
                Saw::Unknown => Some(count + 1),
                Saw::Vote(_) | Saw::Read(_) => None,
            };
            !another_ended_before && after.is_some_and(|count| some_order_works(count, &rest))
        })
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        let saw = prop_oneof![
            (1..4_i64).prop_map(Saw::Vote),
            (0..4_i64).prop_map(Saw::Read),
            Just(Saw::Unknown),
        ];
        (0..12_u64, 0..8_u64, saw)
            .prop_map(|(began, takes, saw)| operation(began, began + takes, saw))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn it_agrees_with_trying_every_order(history in prop::collection::vec(any_operation(), 0..6)) {
            prop_assert_eq!(check(0, &history).is_ok(), some_order_works(0, &history));
        }
    }
}
