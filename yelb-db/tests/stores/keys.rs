//! The two tables of keys that take turns in Postgres.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use testbed::PATIENCE;
use yelb_db::{PostgresOptions, StoreServer, Stores, VoteLocation};

use crate::server::{DATABASE, KEYS_KEPT, Server};
use crate::{outcomes, vote};

/// Whether it is the second table's turn to take new keys.
const TURN: &str = "select second from vote_keys_turn";

async fn client(server: &Server) -> PgConnection {
    PgConnection::connect(&server.postgres_itself().url(DATABASE)).await.unwrap()
}

/// Changes the row so that the table has had its turn for the duration `by`.
async fn age(client: &mut PgConnection, by: Duration) {
    let age = "update vote_keys_turn set since = now() - make_interval(secs => $1)";
    sqlx::query(age).bind(by.as_secs_f64()).execute(client).await.unwrap();
}

/// Waits until the query `question` returns true.
async fn until(client: &mut PgConnection, question: &'static str) {
    let answer = async {
        while !sqlx::query_scalar::<_, bool>(question).fetch_one(&mut *client).await.unwrap() {}
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("not within time: {question}"));
}

/// Starts an app server, and waits until it has changed the turn.
async fn change_turn(server: &Server) {
    change_turn_as(server, server.location()).await;
}

async fn change_turn_as(server: &Server, location: VoteLocation) {
    let mut client = client(server).await;
    let second: bool = sqlx::query_scalar(TURN).fetch_one(&mut client).await.unwrap();
    age(&mut client, KEYS_KEPT + Duration::from_secs(1)).await;
    let app_server = crate::server::app_server(location).await;
    let changed = if second { "select not second from vote_keys_turn" } else { TURN };
    until(&mut client, changed).await;
    app_server.close().await;
}

#[tokio::test]
async fn a_key_is_known_for_the_whole_time_and_its_space_comes_back_at_once() {
    let server = Server::postgres();
    let store = server.app_server().await;
    let postgres = server.postgres_itself();
    let keys = |from: usize| (from..from + 500).map(|number| format!("key-{number}"));
    let counts = |from: i64| (from..from + 500).collect::<Vec<_>>();
    let send = async |keys: &[String]| {
        let votes: Vec<_> = keys.iter().map(|key| ("ihop", Some(&**key))).collect();
        vote(&store, &votes).await
    };
    let (first, second) = (keys(0).collect::<Vec<_>>(), keys(500).collect::<Vec<_>>());
    let size = |table: &str| {
        postgres.sql(DATABASE, &format!("select pg_total_relation_size('{table}') > 16384"))
    };
    assert_eq!(send(&first).await, counts(1));
    // One minute before the turn changes.
    age(&mut client(&server).await, Duration::from_mins(24 * 60 - 1)).await;
    server.app_server().await.close().await;
    assert_eq!(postgres.sql(DATABASE, TURN), "f");

    change_turn(&server).await;
    assert_eq!(send(&first).await, counts(1), "they are known");
    assert_eq!(send(&second).await, counts(501));
    assert_eq!((&*size("vote_keys"), &*size("vote_keys_2")), ("t", "t"));

    change_turn(&server).await;
    assert_eq!((&*size("vote_keys"), &*size("vote_keys_2")), ("f", "t"));
    assert_eq!(send(&second).await, counts(501), "they are known");
    assert_eq!(send(&first).await, counts(1001), "the keys are deleted");
}

/// Exactly one statement waits for a lock.
const ONE_WAITS: &str = "select count(*) = 1 from pg_stat_activity
     where wait_event_type = 'Lock' and application_name = 'yelb-appserver'";
/// Exactly two statements wait for locks.
const TWO_WAIT: &str = "select count(*) = 2 from pg_stat_activity
     where wait_event_type = 'Lock' and application_name = 'yelb-appserver'";
/// The turn is about to change or has changed. Before, it was the first table's turn.
const CHANGES: &str =
    "select exists (select from pg_locks where mode = 'AccessExclusiveLock' and not granted)
     or (select second from vote_keys_turn)";

/// Sends one key to two app servers, and changes the turn between the two requests, while the first statement runs. Returns
/// `None` if this took longer than a statement may take.
async fn counts_around_a_change(
    server: &Server,
    [one, other]: [&Arc<Stores>; 2],
    key: &str,
) -> Option<[i64; 2]> {
    let (mut locker, mut client) = (client(server).await, client(server).await);
    let mut lock = locker.begin().await.unwrap();
    let update = "update restaurants set count = count where name = 'ihop'";
    sqlx::raw_sql(update).execute(&mut *lock).await.unwrap();
    let cast = |store: &Arc<Stores>| {
        let (store, key) = (Arc::clone(store), key.to_owned());
        tokio::spawn(async move { outcomes(&store, &[("ihop", Some(&key))]).await.remove(0) })
    };

    let first = cast(one);
    until(&mut client, ONE_WAITS).await;
    age(&mut client, KEYS_KEPT + Duration::from_secs(1)).await;
    let location = server.location();
    let starting = tokio::spawn(crate::server::app_server(location));
    until(&mut client, CHANGES).await;
    let second = cast(other);
    let both = async { until(&mut client, TWO_WAIT).await };
    let in_time = tokio::time::timeout(Duration::from_secs(1), both).await.is_ok();
    lock.rollback().await.unwrap();

    let counts = [first.await.unwrap(), second.await.unwrap()];
    starting.await.unwrap().close().await;
    let counts = counts.map(|outcome| outcome.ok().map(Result::unwrap));
    age(&mut client, Duration::ZERO).await;
    in_time.then_some(())?;
    Some([counts[0]?, counts[1]?])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_two_app_servers_are_sent_while_the_turn_changes_is_counted_once() {
    let server = Server::postgres();
    let stores = [Arc::new(server.app_server().await), Arc::new(server.app_server().await)];
    for round in 1..=50 {
        let before = server.count("ihop");
        let key = format!("round-{round}");
        let counts = counts_around_a_change(&server, stores.each_ref(), &key).await;
        let after = server.count("ihop");
        assert!(after <= before + 1, "counted {} times", after - before);
        if let Some(counts) = counts {
            assert_eq!(counts, [before + 1; 2], "a key has one answer, whichever is asked");
            return;
        }
        let mut client = client(&server).await;
        let reset = "update vote_keys_turn set second = false";
        sqlx::raw_sql(reset).execute(&mut client).await.unwrap();
    }
    panic!("the machine is too slow to send a key twice while one statement is under way");
}

#[tokio::test]
async fn while_another_client_uses_the_table_votes_count_and_its_keys_stay() {
    let server = Server::postgres();
    let store = server.app_server().await;
    let postgres = server.postgres_itself();
    let (mut other, mut client) = (client(&server).await, client(&server).await);
    // A backup takes the same lock.
    let mut transaction = other.begin().await.unwrap();
    sqlx::raw_sql("select from vote_keys_2").execute(&mut *transaction).await.unwrap();
    age(&mut client, 2 * KEYS_KEPT).await;
    let waiting =
        "select count(*) > 0 from pg_locks where mode = 'AccessExclusiveLock' and not granted";
    let starting = tokio::spawn(crate::server::app_server(server.location()));
    until(&mut client, waiting).await;
    for count in 1..=10 {
        assert_eq!(vote(&store, &[("ihop", Some(&count.to_string()))]).await, [count]);
    }
    assert_eq!(postgres.sql(DATABASE, TURN), "f");
    drop(starting.await.unwrap());

    transaction.rollback().await.unwrap();
    change_turn(&server).await;
    assert_eq!(postgres.sql(DATABASE, TURN), "t");
}

#[tokio::test]
async fn the_keys_of_a_release_with_one_table_are_known() {
    let server = Server::postgres();
    let postgres = server.postgres_itself();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    for migration in ["0002_counts_beyond_32_bits", "0004_vote_keys"] {
        let migration = std::fs::read_to_string(format!("{folder}/{migration}.sql")).unwrap();
        postgres.sql(DATABASE, &migration);
    }
    let key = "insert into vote_keys (key, name, count, counted_at)
               values ('before', 'ihop', 44, now() - interval '23 hours')";
    postgres.sql(DATABASE, key);
    let store = server.app_server().await;
    assert_eq!(vote(&store, &[("ihop", Some("before"))]).await, [44]);
    change_turn(&server).await;
    assert_eq!(vote(&store, &[("ihop", Some("before"))]).await, [44]);
    // A release with one table, which runs beside this one during an upgrade.
    postgres.sql(DATABASE, "insert into vote_keys (key, name, count) values ('beside', 'ihop', 7)");
    assert_eq!(vote(&store, &[("ihop", Some("beside"))]).await, [7]);
}

/// A role that owns no table and may not truncate. Such roles are common.
const VOTER: &str = "create role voter login password 'voter';
    grant select on _sqlx_migrations to voter;
    grant select, update on restaurants, vote_keys_turn to voter;
    grant select, insert, delete on vote_keys, vote_keys_2 to voter";

/// The same server, for the role `voter`.
fn as_voter(server: &Server) -> VoteLocation {
    let url = server.postgres_itself().url(DATABASE);
    let url = url.replace("postgres:postgres_password@", "voter:voter@");
    VoteLocation::Server(PostgresOptions::from_url(&url.parse().unwrap()).unwrap())
}

#[tokio::test]
async fn old_keys_are_deleted_with_a_role_that_may_delete_but_not_truncate() {
    let server = Server::postgres();
    server.app_server().await.close().await;
    let postgres = server.postgres_itself();
    postgres.sql(DATABASE, VOTER);
    let store = crate::server::app_server(as_voter(&server)).await;
    assert_eq!(vote(&store, &[("ihop", Some("first"))]).await, [1]);
    // More than one statement deletes.
    let many = "insert into vote_keys (key, name, count) select 'key-' || n, 'ihop', n from generate_series(1, 25000) as n";
    postgres.sql(DATABASE, many);

    change_turn_as(&server, as_voter(&server)).await;
    assert_eq!(vote(&store, &[("ihop", Some("first"))]).await, [1], "it is known");
    assert_eq!(vote(&store, &[("ihop", Some("second"))]).await, [2]);

    change_turn_as(&server, as_voter(&server)).await;
    assert_eq!(postgres.sql(DATABASE, "select count(*) from vote_keys"), "0");
    assert_eq!(vote(&store, &[("ihop", Some("second"))]).await, [2], "it is known");
    assert_eq!(vote(&store, &[("ihop", Some("first"))]).await, [3], "the key is deleted");
}

#[tokio::test]
async fn a_slow_app_server_deletes_no_key_of_a_table_whose_turn_has_come_meanwhile() {
    const WAITS: &str = "select exists (select from pg_locks
         where relation = 'vote_keys'::regclass and mode = 'RowExclusiveLock' and not granted)";
    const IS_OVER: &str = "select not exists (select from pg_stat_activity
         where application_name = 'yelb-appserver maintenance')";
    let server = Server::postgres();
    server.app_server().await.close().await;
    let postgres = server.postgres_itself();
    postgres.sql(DATABASE, VOTER);
    let (mut other, mut client) = (client(&server).await, client(&server).await);
    sqlx::raw_sql("update vote_keys_turn set second = true").execute(&mut client).await.unwrap();
    age(&mut client, KEYS_KEPT + Duration::from_secs(1)).await;

    let mut transaction = other.begin().await.unwrap();
    let lock = "lock table vote_keys in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
    // Both at once: the app server waits for the lock only for a moment, and tries again after a minute.
    let overtake = async {
        until(&mut client, WAITS).await;
        let faster = "update vote_keys_turn set second = false, since = now();
             insert into vote_keys (key, name, count) values ('fresh', 'ihop', 7)";
        sqlx::raw_sql(faster).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let (store, ()) = tokio::join!(crate::server::app_server(as_voter(&server)), overtake);

    until(&mut client, IS_OVER).await;
    assert_eq!(vote(&store, &[("ihop", Some("fresh"))]).await, [7], "it is known");
}
