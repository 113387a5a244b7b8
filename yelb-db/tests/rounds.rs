//! Rounds of votes on a real Postgres, as several app servers count them at the same time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testbed::Postgres as Server;
use tokio::task::JoinSet;
use yelb_db::{
    Counted, Migrate, Poll, Postgres, PostgresOptions, Round, StoreError, Ticket, VoteStore,
};
use yelb_service::health::Dependency;
use yelb_service::names::Names;

/// An app server's store, once it has reached the database and prepared it.
async fn app_server(server: &Server) -> VoteStore {
    let options = PostgresOptions::from_url(&server.url("yelbdatabase")).unwrap();
    let dependency = Dependency::new("votes", "postgresql");
    let store = Postgres::keep(
        options,
        Migrate::Auto,
        Poll::default(),
        Names::default(),
        dependency.clone(),
    );
    let prepared = async {
        while !dependency.was_prepared() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), prepared).await.expect("the schema is made");
    VoteStore::Postgres(store)
}

fn database() -> Server {
    let server = Server::start();
    server.create_original_schema();
    server
}

fn round(votes: &[(&str, Option<&str>)]) -> (Round, Vec<Ticket>) {
    let (mut round, poll) = (Round::default(), Poll::default());
    let add = |(name, key): &(&str, Option<&str>)| {
        round.add(poll.restaurant(name).unwrap(), key.map(|key| key.parse().unwrap()))
    };
    let tickets = votes.iter().map(add).collect();
    (round, tickets)
}

fn counts(counted: &Counted, tickets: Vec<Ticket>) -> Vec<i64> {
    tickets.into_iter().map(|ticket| counted.count(ticket).unwrap()).collect()
}

/// Votes in one round, and answers with the count that each vote has made.
async fn vote(store: &VoteStore, votes: &[(&str, Option<&str>)]) -> Vec<i64> {
    let (round, tickets) = round(votes);
    counts(&store.count(&round).await.unwrap(), tickets)
}

fn total(server: &Server) -> String {
    server.sql("yelbdatabase", "select sum(count) from restaurants")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_vote_of_a_round_has_its_own_count() {
    let server = database();
    let store = app_server(&server).await;

    let votes = [
        ("ihop", None),
        ("outback", None),
        ("ihop", Some("a")),
        ("ihop", None),
        ("chipotle", Some("b")),
    ];
    assert_eq!(vote(&store, &votes).await, [1, 1, 3, 2, 1]);
    assert_eq!(total(&server), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_is_answered_again_and_not_counted() {
    let server = database();
    let store = app_server(&server).await;

    assert_eq!(vote(&store, &[("ihop", Some("a")), ("ihop", Some("b"))]).await, [1, 2]);
    assert_eq!(
        vote(&store, &[("ihop", None), ("ihop", Some("a")), ("ihop", Some("c"))]).await,
        [3, 1, 4]
    );
    assert_eq!(vote(&store, &[("ihop", Some("a")), ("ihop", Some("b"))]).await, [1, 2]);
    assert_eq!(total(&server), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_one_restaurant() {
    let server = database();
    let store = app_server(&server).await;
    vote(&store, &[("ihop", Some("a"))]).await;

    let (round, tickets) = round(&[("outback", Some("a"))]);
    let counted = store.count(&round).await.unwrap();
    assert!(counted.count(tickets[0].clone()).is_err());
    assert_eq!(total(&server), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rows_are_made() {
    let server = database();
    let store = app_server(&server).await;
    server.sql("yelbdatabase", "delete from restaurants where name in ('ihop', 'chipotle')");

    assert_eq!(
        vote(&store, &[("ihop", None), ("outback", None), ("chipotle", Some("a"))]).await,
        [1, 1, 1]
    );
    assert_eq!(total(&server), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn app_servers_that_count_the_same_keys_at_once_count_each_once() {
    const SERVERS: usize = 3;
    const ROUNDS: usize = 60;
    let server = database();
    let mut app_servers = JoinSet::new();
    for number in 0..SERVERS {
        let store = app_server(&server).await;
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
        "a key has one answer, whoever is asked"
    );
    assert_eq!(
        server.sql("yelbdatabase", "select count from restaurants where name = 'ihop'"),
        (ROUNDS * 3).to_string()
    );
    let outback = "select count from restaurants where name = 'outback'";
    assert_eq!(server.sql("yelbdatabase", outback), (ROUNDS * SERVERS).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn app_servers_that_vote_for_everybody_at_once_do_not_lock_each_other() {
    const ROUNDS: i64 = 100;
    let server = database();
    let mut app_servers = JoinSet::new();
    let everybody = ["ihop", "outback", "chipotle", "bucadibeppo"];
    for number in 0..everybody.len() {
        let store = app_server(&server).await;
        let mut votes = everybody.map(|name| (name, None));
        votes.rotate_left(number);
        app_servers.spawn(async move {
            for _ in 0..ROUNDS {
                vote(&store, &votes).await;
            }
        });
    }
    app_servers.join_all().await;
    assert_eq!(total(&server), (ROUNDS * 16).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_an_error_at_once() {
    let server = database();
    let store = app_server(&server).await;
    server.kill();
    let (round, _) = round(&[("ihop", Some("a"))]);
    let failure =
        tokio::time::timeout(Duration::from_secs(5), store.count(&round)).await.expect("in time");
    assert!(matches!(failure, Err(StoreError::Away | StoreError::Database { .. })));
}
