//! What is particular to Postgres: how often it is asked.

use testbed::{PATIENCE, Postgres, eventually};

use crate::server::Server;
use crate::vote;

#[tokio::test]
async fn a_batch_is_one_statement_and_nothing_is_asked_between_two() {
    let postgres = Postgres::start_with(&["log_statement=all", "log_line_prefix=%a|"]);
    postgres.create_original_schema();
    let server = Server::Postgres(postgres);
    let store = server.app_server().await;
    let postgres = server.postgres_itself();
    // Once a second the writer asks whether the server can be written to, and the reader whether it is there.
    let pings = ["show transaction_read_only", "SQLx ping"];
    let statements = |until: &str| {
        postgres.sql("yelbdatabase", &format!("select '{until}'"));
        eventually(PATIENCE, "the log is written", || postgres.log().contains(until));
        let log = postgres.log();
        let statements = log.lines().filter(|line| line.starts_with("yelb-appserver|LOG:"));
        statements.filter(|line| !pings.iter().any(|ping| line.contains(ping))).count()
    };
    vote(&store, &[("ihop", None)]).await;
    vote(&store, &[("ihop", Some("first"))]).await;

    let before = statements("so far");
    for round in 0..10 {
        vote(&store, &[("ihop", None), ("outback", None), ("ihop", None)]).await;
        vote(&store, &[("ihop", Some(&round.to_string())), ("chipotle", None)]).await;
    }
    assert_eq!(statements("by then") - before, 20, "{}", postgres.log());
}

#[tokio::test]
async fn on_a_new_database_keys_are_looked_up_as_on_one_with_many() {
    let server = Server::postgres();
    let store = server.app_server().await;
    for round in 0..20 {
        vote(&store, &[("ihop", Some(&round.to_string()))]).await;
    }
    let postgres = server.postgres_itself();
    // The server counts a moment later what was done, and up to PostgreSQL 14 once the session does something more, such as
    // to end. (One key a round: since PostgreSQL 17 one scan finds several.)
    store.close().await;
    let by_index = "select idx_scan >= 20 from pg_stat_user_tables where relname = 'vote_keys'";
    eventually(PATIENCE, "each key is looked up by the index", || {
        postgres.sql("yelbdatabase", by_index) == "t"
    });
}
