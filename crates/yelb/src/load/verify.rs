//! Whether every confirmed vote was counted, and counted once.
//!
//! A count says how many votes there were and not whose. So each confirmed vote is asked for once more with its key: a
//! server that knows the key answers with the count of the first time, and counts nothing.

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::client::{Client, Failure};
use super::counts::Counts;
use super::figures::{Confirmation, Figures};
use super::run::{RETRY_PAUSE, Run, interrupt};

/// The pause between two readings of counts that may still change.
const SETTLING: Duration = Duration::from_millis(200);

/// The votes of a run beside the counts that they made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verification {
    /// Votes that were sent at least once.
    pub(crate) sent: u64,
    /// Votes that were confirmed.
    pub(crate) acknowledged: u64,
    /// By how much the counts have grown.
    pub(crate) counted: i64,
    /// Counted, and not sent by this run.
    pub(crate) by_others: u64,
    /// Confirmed votes that are missing.
    pub(crate) lost: u64,
    /// Confirmed votes whose key has another count than they were answered.
    pub(crate) duplicated: u64,
    /// Confirmed votes that were answered with the count of another one. They change no count; the original has them.
    pub(crate) repeated_answers: u64,
}

impl Verification {
    /// Adds a restaurant, judged by itself, so that its loss is not offset by another's surplus.
    fn add(&mut self, confirmed: u64, unknown: u64, counted: i64, keys: KeyCheck) {
        self.sent += confirmed + unknown;
        self.acknowledged += confirmed;
        self.counted += counted;
        let counted = u64::try_from(counted).unwrap_or(0);
        // A vote that is missing from the counts is missing at its key as well, unless the key alone was kept.
        let lost = confirmed.saturating_sub(counted).max(keys.lost);
        self.by_others += counted.saturating_sub(confirmed + unknown + keys.duplicated - lost);
        self.lost += lost;
        self.duplicated += keys.duplicated;
    }
}

/// How many of the votes got a count that another one had got.
fn repeated(votes: &[Confirmation]) -> u64 {
    let mut counts: Vec<_> = votes.iter().map(|vote| vote.count).collect();
    counts.sort_unstable();
    counts.dedup();
    (votes.len() - counts.len()) as u64
}

/// Compares the counts and asks for each key, unless Ctrl-C ends it. None if it was not asked for.
pub(crate) async fn verify(run: &Run, before: &Counts) -> anyhow::Result<Option<Verification>> {
    if !run.options.verify {
        return Ok(None);
    }
    tokio::select! {
        verification = uninterrupted(run, before) => verification.map(Some),
        () = interrupt() => bail!("interrupted"),
    }
}

async fn uninterrupted(run: &Run, before: &Counts) -> anyhow::Result<Verification> {
    // It may take as long as the run. Standard error may be closed; the report still tells.
    let _ = writeln!(std::io::stderr(), "verifying the confirmed votes");
    let after = settled(&run.client, run.options.grace).await.context("no counts afterwards")?;
    let Figures { refused, unknown, confirmations, .. } = run.figures().clone();
    let mut verification = Verification { sent: refused, ..Verification::default() };
    for (restaurant, votes) in confirmations.iter().enumerate() {
        let name = &run.workload.names[restaurant];
        let reached = u64::try_from(after.of(name)).unwrap_or(0);
        let keys = RestaurantKeys { run, restaurant, reached }.check(votes).await?;
        let (confirmed, counted) = (votes.len() as u64, after.of(name) - before.of(name));
        verification.add(confirmed, unknown[restaurant], counted, keys);
        verification.repeated_answers += repeated(votes);
    }
    Ok(verification)
}

/// Reads the counts until two readings in a row are the same or `patience` is over: the server may still be counting a
/// vote whose response we no longer wait for.
async fn settled(client: &Client, patience: Duration) -> Result<Counts, Failure> {
    let until = Instant::now() + patience;
    let mut last = client.counts().await;
    loop {
        sleep(SETTLING).await;
        let next = client.counts().await;
        if Instant::now() >= until || (next.is_ok() && next == last) {
            return next;
        }
        last = next;
    }
}

/// Confirmed votes by what their keys tell.
#[derive(Debug, Clone, Copy, Default)]
struct KeyCheck {
    /// The key was unknown.
    lost: u64,
    /// The key had another count.
    duplicated: u64,
}

/// Asks for the keys of the votes for a restaurant, whose count had `reached` this when the run was over.
struct RestaurantKeys<'a> {
    run: &'a Run,
    restaurant: usize,
    reached: u64,
}

impl RestaurantKeys<'_> {
    async fn check(&self, votes: &[Confirmation]) -> anyhow::Result<KeyCheck> {
        let Some(first) = votes.first().filter(|_| !self.run.options.no_keys) else {
            return Ok(KeyCheck::default());
        };
        // The original counts the same key each time.
        if self.ask(first).await? != self.ask(first).await? {
            bail!(
                "the target ignores Idempotency-Key, and has counted 2 votes more; use --no-keys to compare the counts alone"
            );
        }
        let ask = async |vote| anyhow::Ok((vote, self.ask(vote).await?));
        let mut answers =
            pin!(stream::iter(votes).map(ask).buffer_unordered(self.run.options.connections));
        let mut check = KeyCheck::default();
        while let Some((vote, count)) = answers.try_next().await? {
            // The restaurant had fewer votes when the run was over: this one was counted just now.
            if count > self.reached {
                check.lost += 1;
            } else if count != vote.count {
                check.duplicated += 1;
            }
        }
        Ok(check)
    }

    /// The answer to the key of this vote, which is asked for until it comes or the grace is over.
    async fn ask(&self, vote: &Confirmation) -> anyhow::Result<u64> {
        let until = Instant::now() + self.run.options.grace;
        loop {
            match self.run.send_vote(self.restaurant, vote.request).await {
                Ok(count) => return Ok(count),
                Err(failure) if failure.is_final() || Instant::now() >= until => {
                    return Err(failure).context("a key got no answer");
                }
                Err(_) => sleep(RETRY_PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lost, and counted by others.
    fn judge((confirmed, unknown): (u64, u64), counted: i64, lost_keys: u64) -> (u64, u64) {
        let mut verification = Verification::default();
        let keys = KeyCheck { lost: lost_keys, duplicated: 0 };
        verification.add(confirmed, unknown, counted, keys);
        (verification.lost, verification.by_others)
    }

    #[test]
    fn what_was_counted_besides_was_sent_by_others() {
        assert_eq!(judge((10, 0), 10, 0), (0, 0));
        assert_eq!(judge((10, 0), 9, 0), (1, 0));
        assert_eq!(judge((10, 0), 12, 0), (0, 2));
        assert_eq!(judge((9, 0), 10, 0), (0, 1));
    }

    #[test]
    fn a_vote_of_unknown_outcome_may_or_may_not_be_counted() {
        assert_eq!(judge((8, 2), 8, 0), (0, 0));
        assert_eq!(judge((8, 2), 10, 0), (0, 0));
        assert_eq!(judge((8, 2), 7, 0), (1, 0));
        assert_eq!(judge((8, 2), 11, 0), (0, 1));
    }

    #[test]
    fn a_lost_vote_is_one_whether_its_count_or_its_key_tells() {
        // Its place in the counts was taken by the vote of another client.
        assert_eq!(judge((10, 0), 10, 3), (3, 3));
        assert_eq!(judge((10, 0), 8, 3), (3, 1));
        assert_eq!(judge((10, 0), 6, 3), (4, 0));
    }

    #[test]
    fn counts_that_begin_anew_lose_all() {
        assert_eq!(judge((10, 0), -90, 0), (10, 0));
    }

    #[test]
    fn a_loss_of_one_restaurant_is_not_offset_by_the_surplus_of_another() {
        let mut verification = Verification::default();
        verification.add(5, 0, 4, KeyCheck::default());
        verification.add(5, 0, 6, KeyCheck { lost: 0, duplicated: 1 });
        assert_eq!((verification.sent, verification.counted), (10, 10));
        assert_eq!((verification.lost, verification.duplicated, verification.by_others), (1, 1, 0));
    }

    #[test]
    fn a_count_that_two_votes_got_is_repeated() {
        let confirmations =
            [1, 64, 63, 64, u64::MAX].map(|count| Confirmation { request: 0, count });
        assert_eq!(repeated(&confirmations), 1);
    }

    proptest! {
        #[test]
        fn exactly_what_lies_between_confirmed_and_sent_needs_no_explanation(
            confirmed in 0..1000_u64, unknown in 0..100_u64, counted in 0..1200_i64,
        ) {
            let (lost, by_others) = judge((confirmed, unknown), counted, 0);
            let low = i64::try_from(confirmed).unwrap();
            let high = i64::try_from(confirmed + unknown).unwrap();
            prop_assert_eq!((lost, by_others) == (0, 0), (low..=high).contains(&counted));
            prop_assert!(lost == 0 || by_others == 0);
        }
    }
}
