//! A row whose votes are refused, and the votes that share a batch with it.

use sqlx::{Connection, PgConnection};
use yelb_db::{StoreError, Stores};

use crate::server::{DATABASE, Server};
use crate::{outcomes, vote};

/// Four votes that are sent together, two of them for the row that fails.
const VOTES: [(&str, Option<&str>); 4] =
    [("ihop", None), ("outback", None), ("ihop", Some("a")), ("chipotle", Some("b"))];

/// Another client's session with the database.
async fn other_client(server: &Server) -> PgConnection {
    PgConnection::connect(&server.postgres_itself().url(DATABASE)).await.unwrap()
}

/// What changes a table waits for other sessions, whose tasks this thread has to run meanwhile.
async fn change(server: &Server, statement: &str) {
    let change = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
    change.execute(&mut other_client(server).await).await.unwrap();
}

/// Sends [`VOTES`]: those for `ihop` are refused, and are not counted, and the others are.
pub(crate) async fn refuses_ihop_alone(store: &Stores, case: &str) {
    let outcomes = outcomes(store, &VOTES).await;
    let is_refused = |place: usize| matches!(outcomes[place], Err(StoreError::Refused { .. }));
    let is_counted = |place: usize| matches!(outcomes[place], Ok(Ok(1)));
    let settled = is_refused(0) && is_counted(1) && is_refused(2) && is_counted(3);
    assert!(settled, "{case}: {outcomes:?}");
}

#[tokio::test]
async fn a_row_that_another_client_has_locked_holds_up_no_vote_for_another() {
    let server = Server::postgres();
    let store = server.app_server().await;
    for lock in [
        "update restaurants set count = count where name = 'ihop'",
        "delete from restaurants where name = 'ihop'",
        "select from restaurants where name = 'ihop' for key share; \
         select from restaurants where name = 'ihop' for update",
    ] {
        change(&server, "update restaurants set count = 0; truncate vote_keys").await;
        let mut other = other_client(&server).await;
        let mut transaction = other.begin().await.unwrap();
        sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
        refuses_ihop_alone(&store, lock).await;
        transaction.rollback().await.unwrap();
        assert_eq!(vote(&store, &[("ihop", Some("a"))]).await, [1], "it is not counted later");
        assert_eq!(server.total(), 3, "{lock}");
    }
}

#[tokio::test]
async fn a_row_that_is_missing_and_that_another_client_is_about_to_make_holds_up_no_other() {
    let server = Server::postgres();
    let store = server.app_server().await;
    let mut other = other_client(&server).await;
    let transaction = loop {
        change(&server, "delete from restaurants where name = 'ihop'").await;
        let mut transaction = other.begin().await.unwrap();
        let insert = sqlx::raw_sql("insert into restaurants (name, count) values ('ihop', 40)");
        // The app server, which has just started, may have made it again.
        if insert.execute(&mut *transaction).await.is_ok() {
            break transaction;
        }
    };
    refuses_ihop_alone(&store, "a missing row").await;
    transaction.commit().await.unwrap();
    assert_eq!(vote(&store, &[("ihop", None)]).await, [41]);
}

/// What makes the votes of `ihop` fail. Triggers call `refuse()`.
const REFUSALS: [(&str, &str); 5] = [
    ("a check", "alter table restaurants add check (name <> 'ihop' or count < 1)"),
    ("an overflow", "update restaurants set count = 9223372036854775807 where name = 'ihop'"),
    ("a trigger that raises", "raise exception 'the poll for % is closed', new.name"),
    ("a trigger that takes its time", "perform pg_sleep(20); return new"),
    ("a trigger at the commit", "raise exception 'not today'"),
];

fn trigger(case: &str, body: &str) -> String {
    let (kind, when) = if case.ends_with("commit") {
        ("constraint trigger", "after update on restaurants deferrable initially deferred")
    } else {
        ("trigger", "before update on restaurants")
    };
    format!(
        "create function refuse() returns trigger language plpgsql as $$ begin {body}; end $$;
         create {kind} refuse {when} for each row when (new.name = 'ihop') execute procedure refuse()"
    )
}

#[tokio::test]
async fn a_row_that_cannot_be_counted_takes_no_vote_for_another_with_it() {
    for (case, refusal) in REFUSALS {
        let server = Server::postgres();
        let store = server.app_server().await;
        let is_trigger = case.starts_with("a trigger");
        let refusal = if is_trigger { trigger(case, refusal) } else { refusal.to_owned() };
        change(&server, &refusal).await;
        let before = server.count("ihop");
        refuses_ihop_alone(&store, case).await;
        assert_eq!((server.count("ihop"), server.count("outback")), (before, 1), "{case}");
        if is_trigger {
            change(&server, "drop trigger refuse on restaurants").await;
            assert_eq!(vote(&store, &[("ihop", Some("a"))]).await, [1], "{case}");
        }
    }
}

#[tokio::test]
async fn what_a_trigger_swallows_has_no_vote_of_the_batch_counted_twice() {
    let server = Server::postgres();
    let store = server.app_server().await;
    change(&server, &trigger("a trigger that swallows", "return null")).await;
    for count in 1..=2 {
        let outcomes = outcomes(&store, &[("ihop", None), ("outback", None)]).await;
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Failed { .. }))),
            "{outcomes:?}"
        );
        assert_eq!((server.count("ihop"), server.count("outback")), (0, count));
    }
}

#[tokio::test]
async fn without_the_table_of_the_keys_votes_without_a_key_are_counted() {
    let server = Server::postgres();
    let store = server.app_server().await;
    change(&server, "drop table vote_keys").await;
    let outcomes =
        outcomes(&store, &[("ihop", Some("a")), ("ihop", None), ("outback", None)]).await;
    assert!(
        matches!(outcomes[..], [Err(StoreError::Refused { .. }), Ok(Ok(1)), Ok(Ok(1))]),
        "{outcomes:?}"
    );
}
