//! Batches of votes on every store that several app servers may share, as they count them at the same time.
//!
//! On one thread each: votes that are sent together are then in one batch.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dynamodb;
mod keys;
mod postgres;
mod refusals;
mod server;
mod settling;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use yelb_db::{KeyReused, StoreError, Stores, Vote};
use yelb_poll::Poll;

use crate::server::Server;

/// Runs each of these tests on each server.
macro_rules! on_every_server {
    ($($test:ident),+ $(,)?) => {
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Server::postgres()).await;
            })+
        }

        mod on_dynamodb {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Server::dynamodb()).await;
            })+
        }
    };
}

on_every_server! {
    each_vote_of_a_batch_has_its_own_count,
    a_known_key_is_answered_again_and_not_counted,
    a_key_is_for_one_restaurant,
    missing_rows_are_made,
    app_servers_that_count_the_same_keys_at_once_count_each_once,
    app_servers_that_vote_for_all_restaurants_do_not_block_each_other,
    no_two_votes_at_several_app_servers_get_the_same_count,
    the_tally_has_every_vote_that_was_confirmed,
    a_lost_database_is_an_error_at_once,
}

/// What becomes of votes that are sent together.
async fn outcomes(
    stores: &Stores,
    votes: &[(&str, Option<&str>)],
) -> Vec<Result<Result<i64, KeyReused>, StoreError>> {
    let poll = Poll::default();
    let vote = |(id, key): &(&str, Option<&str>)| Vote {
        choice: poll.find(id).unwrap(),
        key: key.map(|key| key.parse().unwrap()),
    };
    join_all(votes.iter().map(|it| stores.votes.record(vote(it)))).await
}

/// The count that each of these votes has made, which are sent together.
async fn vote(stores: &Stores, votes: &[(&str, Option<&str>)]) -> Vec<i64> {
    outcomes(stores, votes).await.into_iter().map(|outcome| outcome.unwrap().unwrap()).collect()
}

/// All counts, in the order of the poll.
async fn tally(stores: &Stores) -> Result<Vec<i64>, StoreError> {
    Ok(stores.votes.read().await?.counts().to_vec())
}

async fn each_vote_of_a_batch_has_its_own_count(server: &Server) {
    let store = server.app_server().await;

    let votes = [
        ("ihop", None),
        ("outback", None),
        ("ihop", Some("a")),
        ("ihop", None),
        ("chipotle", Some("b")),
    ];
    assert_eq!(vote(&store, &votes).await, [1, 1, 3, 2, 1]);
    assert_eq!(server.total(), 5);
}

async fn a_known_key_is_answered_again_and_not_counted(server: &Server) {
    let store = server.app_server().await;

    assert_eq!(vote(&store, &[("ihop", Some("a")), ("ihop", Some("b"))]).await, [1, 2]);
    assert_eq!(
        vote(&store, &[("ihop", None), ("ihop", Some("a")), ("ihop", Some("c"))]).await,
        [3, 1, 4]
    );
    assert_eq!(vote(&store, &[("ihop", Some("a")), ("ihop", Some("b"))]).await, [1, 2]);
    assert_eq!(server.total(), 4);
}

async fn a_key_is_for_one_restaurant(server: &Server) {
    let store = server.app_server().await;
    vote(&store, &[("ihop", Some("a"))]).await;

    let outcome = outcomes(&store, &[("outback", Some("a"))]).await.remove(0);
    assert_eq!(outcome.unwrap(), Err(KeyReused));
    assert_eq!(server.total(), 1);
}

async fn missing_rows_are_made(server: &Server) {
    let store = server.app_server().await;
    server.remove("ihop");
    server.remove("chipotle");

    assert_eq!(
        vote(&store, &[("ihop", None), ("outback", None), ("chipotle", Some("a"))]).await,
        [1, 1, 1]
    );
    assert_eq!(server.total(), 3);
}

async fn app_servers_that_count_the_same_keys_at_once_count_each_once(server: &Server) {
    const ROUNDS: i64 = 40;
    let mut app_servers = JoinSet::new();
    for number in 0..3 {
        let store = server.app_server().await;
        app_servers.spawn(async move {
            let mut answers = Vec::new();
            for round in 0..ROUNDS {
                // The same keys everywhere, in another order here and there, beside votes without one.
                let keys = [format!("{round}-a"), format!("{round}-b"), format!("{round}-c")];
                let mut votes: Vec<(&str, Option<&str>)> =
                    keys.iter().map(|key| ("ihop", Some(key.as_str()))).collect();
                votes.rotate_left(number);
                votes.push(("outback", None));
                let mut counts = vote(&store, &votes).await;
                counts.pop();
                counts.rotate_right(number);
                answers.push(counts);
            }
            answers
        });
    }

    let answers = app_servers.join_all().await;
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "a key has one answer, whichever server is asked"
    );
    assert_eq!(server.count("ihop"), ROUNDS * 3);
    assert_eq!(server.count("outback"), ROUNDS * 3);
}

async fn app_servers_that_vote_for_all_restaurants_do_not_block_each_other(server: &Server) {
    const ROUNDS: i64 = 50;
    let mut app_servers = JoinSet::new();
    let restaurants = ["ihop", "outback", "chipotle", "bucadibeppo"];
    for number in 0..restaurants.len() {
        let store = server.app_server().await;
        let mut votes = restaurants.map(|name| (name, None));
        votes.rotate_left(number);
        app_servers.spawn(async move {
            for _ in 0..ROUNDS {
                vote(&store, &votes).await;
            }
        });
    }
    app_servers.join_all().await;
    assert_eq!(server.total(), ROUNDS * 16);
}

async fn no_two_votes_at_several_app_servers_get_the_same_count(server: &Server) {
    const ROUNDS: i64 = 10;
    let mut app_servers = JoinSet::new();
    for number in 0..3 {
        let store = server.app_server().await;
        app_servers.spawn(async move {
            let mut counts = Vec::new();
            for round in 0..ROUNDS {
                let key = format!("{number}-{round}");
                counts.extend(vote(&store, &[("ihop", Some(&key)), ("ihop", None)]).await);
            }
            counts
        });
    }
    let mut counts: Vec<i64> = app_servers.join_all().await.into_iter().flatten().collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=6 * ROUNDS).collect::<Vec<_>>());
}

async fn the_tally_has_every_vote_that_was_confirmed(server: &Server) {
    let (store, other) = (server.app_server().await, server.app_server().await);
    for round in 1..=5 {
        vote(&store, &[("ihop", None), ("outback", None), ("ihop", Some(&round.to_string()))])
            .await;
        assert_eq!(tally(&other).await.unwrap(), [round, 0, 2 * round, 0]);
    }
}

async fn a_lost_database_is_an_error_at_once(server: &Server) {
    let store = server.app_server().await;
    server.kill();
    let votes = [("ihop", Some("a"))];
    let failure = tokio::time::timeout(Duration::from_secs(5), outcomes(&store, &votes))
        .await
        .expect("in time");
    assert!(matches!(failure[..], [Err(StoreError::Down | StoreError::Failed { .. })]));
}
