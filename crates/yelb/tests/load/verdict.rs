//! What the verdict says of servers that lose votes, count them twice, refuse them or do not answer.

use std::sync::atomic::{AtomicU64, Ordering};

use testbed::{PATIENCE, http};

use crate::fake::{Fake, State, told};
use crate::{Yelb, load, report, verdict};

const HUNDRED_VOTES: &str = "--rate 200 --duration 500ms --verify";

/// Calls `on_tenth` for each tenth vote with a new key, and is a Yelb without fault otherwise.
fn faulty(
    on_tenth: impl Fn(&mut State, &str) -> crate::fake::Answer + Send + Sync + 'static,
) -> Fake {
    let votes = AtomicU64::new(0);
    Fake::cheating(move |state, key| {
        let key = key.unwrap_or_default();
        if let Some(known) = state.keys.get(key) {
            return told(*known);
        }
        if votes.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
            return on_tenth(state, key);
        }
        state.count += 1;
        state.keys.insert(key.to_owned(), state.count);
        told(state.count)
    })
}

/// The first line of the report.
fn sentence(fake: &Fake, flags: &str) -> (Option<i32>, String) {
    let output = load(&fake.url(), flags).run_to_end(PATIENCE);
    (output.status.code(), output.stdout.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_server_that_acknowledges_without_counting_is_found_out() {
    let fake = faulty(|state, key| {
        state.keys.insert(key.to_owned(), state.count);
        told(state.count)
    });
    let output = load(&fake.url(), HUNDRED_VOTES).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = "FAILED: 10 confirmed votes are lost, 0 counted twice.\n";
    assert!(output.stdout.starts_with(told), "{}", output.stdout);
    assert!(
        output.stdout.contains(&format!("  {:36}{:>10}\n", "counted", 90)),
        "{}",
        output.stdout
    );
}

#[test]
fn a_lost_vote_is_found_out_though_another_client_voted_in_its_place() {
    let lost = AtomicU64::new(0);
    let fake = faulty(move |state, key| {
        state.count += 1;
        // A vote that is sent again is not lost again.
        if lost.fetch_add(1, Ordering::SeqCst) >= 10 {
            state.keys.insert(key.to_owned(), state.count);
        }
        told(state.count)
    });
    let output = load(&fake.url(), &format!("{HUNDRED_VOTES} --json")).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(verdict(&output), [100, 100, 100, 10, 0]);
    assert_eq!(report(&output)["verify"]["by_others"], 10);
}

#[test]
fn a_vote_that_is_counted_again_when_it_is_retried_is_found_out() {
    let fake = Fake::cheating(|state, key| {
        let key = key.unwrap_or_default().to_owned();
        let retry = format!("{key} retry");
        match state.keys.get(&key) {
            // Each tenth vote is counted and not answered.
            None => {
                state.count += 1;
                state.keys.insert(key, state.count);
                if state.count.is_multiple_of(10) { None } else { told(state.count) }
            }
            // When it comes again, it is counted again; after that its key is known.
            Some(first) if first % 10 == 0 && !state.keys.contains_key(&retry) => {
                state.count += 1;
                state.keys.insert(retry, state.count);
                told(state.count)
            }
            Some(first) => told(*first),
        }
    });
    let output = load(&fake.url(), &format!("{HUNDRED_VOTES} --retry --json")).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let [sent, acknowledged, counted, lost, duplicated] = verdict(&output);
    assert_eq!((sent, acknowledged, lost), (100, 100, 0), "{output:?}");
    // How many is chance: a vote that is sent again may be the tenth.
    assert!(duplicated > 0 && counted == 100 + duplicated, "{output:?}");
    assert_eq!(report(&output)["verify"]["by_others"], 0);
}

#[test]
fn votes_of_other_people_are_reported_and_fail_nothing() {
    let yelb = Yelb::start();
    let (_server, address) = yelb.app_server(0);
    let flags = "--rate 100 --duration 3s --retry --verify --weights ihop=1";
    let running = load(&format!("http://{address}"), flags).spawn();
    yelb.wait_for_votes();
    for restaurant in ["ihop", "ihop", "chipotle"] {
        assert_eq!(http::get(address, &format!("/api/{restaurant}")).status, 200);
    }

    let output = crate::ended(&running);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.starts_with("OK: all 300 votes were confirmed and verified.\n"),
        "{output:?}"
    );
    let others = format!("  {:36}{:>10}\n", "counted, not sent by this run", 2);
    assert!(output.stdout.contains(&others), "{}", output.stdout);
}

#[test]
fn a_target_that_ignores_keys_is_not_verified_by_them() {
    let fake = Fake::cheating(|state, _| {
        state.count += 1;
        told(state.count)
    });
    let (code, first) = sentence(&fake, HUNDRED_VOTES);
    assert_eq!(code, Some(1));
    let told = "FAILED: the votes could not be verified: the target ignores Idempotency-Key";
    assert!(first.starts_with(told), "{first}");

    let (code, first) = sentence(&fake, &format!("{HUNDRED_VOTES} --no-keys"));
    assert_eq!((code, &*first), (Some(0), "OK: all 100 votes were confirmed and verified."));
}

#[test]
fn the_same_number_twice_is_told_and_is_no_loss() {
    // As the original answers when two votes meet: counted both, and both read the second one's count.
    let fake = Fake::yelb(|count| {
        *count += 1;
        Some(count.div_ceil(2))
    });
    let flags = format!("{HUNDRED_VOTES} --no-keys --json");
    let output = load(&fake.url(), &flags).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(verdict(&output), [100, 100, 100, 0, 0]);
    assert_eq!(report(&output)["verify"]["repeated_answers"], 50);
}

/// The server counts each request that it gets. So a vote that the client had sent again by itself, because the
/// connection ended without a response, would be counted and not be in `sent`.
#[test]
fn a_vote_that_was_not_answered_is_reported_and_not_sent_again() {
    let fake = Fake::yelb(|count| {
        *count += 1;
        (*count % 10 != 0).then_some(*count)
    });
    let flags = format!("{HUNDRED_VOTES} --no-keys --json");
    let output = load(&fake.url(), &flags).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(verdict(&output), [100, 90, 100, 0, 0]);
    assert_eq!(report(&output)["failures"]["connection lost"], 10);
}

#[test]
fn every_vote_that_was_not_confirmed_is_in_the_verdict() {
    let fake = Fake::cheating(|state, _| {
        state.count += 1;
        match state.count % 10 {
            0 => None,
            1 => Some((404, String::new())),
            2 | 3 => Some((503, String::new())),
            _ => told(state.count),
        }
    });
    let (code, first) = sentence(&fake, "--rate 200 --duration 500ms");
    let expected =
        "FAILED: 40 of 100 votes were not confirmed (10 refused, 30 unknown, 0 never sent).";
    assert_eq!((code, &*first), (Some(1), expected));

    // It answers once, as a Yelb, and accepts no further connection. The first vote goes out on the one that is open.
    let gone = Fake::once(r#"[{"name": "ihop", "value": 0}]"#);
    let (code, first) = sentence(&gone, "--rate 200 --duration 500ms");
    let expected =
        "FAILED: 100 of 100 votes were not confirmed (0 refused, 1 unknown, 99 never sent).";
    assert_eq!((code, &*first), (Some(1), expected));
}
