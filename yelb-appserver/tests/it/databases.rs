//! Databases as users bring them: behind a pooler, with roles and schemas of their own.

use std::net::SocketAddr;
use std::thread;

use testbed::{PATIENCE, PgBouncer, Postgres, Program, Running, eventually, http};

use crate::drop_in::migrate;
use crate::outages::{RowLock, WAITING_FOR_A_LOCK};
use crate::{DATABASE, await_ready, bare, on};

/// PgBouncer, with two sessions.
fn pooler(postgres: &Postgres, setting: &str) -> PgBouncer {
    PgBouncer::before(postgres, DATABASE, 2, setting)
}

/// What a statement of another client of a pooler answers.
#[track_caller]
fn sql(pooler: &PgBouncer, statement: &str) -> String {
    let psql = Program::installed("psql", "postgresql-client");
    let output = psql.args(["-XAtc", statement, &pooler.url()]).run_to_end(PATIENCE);
    assert!(output.status.success(), "{statement}: {output:?}");
    output.stdout.trim().to_owned()
}

#[test]
fn through_a_pooler_every_vote_is_counted_and_nothing_stays_in_a_session() {
    // By default it refuses settings at the login. Many tell it to ignore them, which is worse.
    for ignored in ["", "extra_float_digits", "extra_float_digits,options"] {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        let pooler = &pooler(&postgres, &format!("ignore_startup_parameters = {ignored}"));
        let program = || bare().env("DATABASE_URL", pooler.url()).env("REDIS_URL", "sqlite:views");
        let servers = [program().spawn(), program().spawn()];
        let servers = servers.each_ref().map(|server| server.address("api"));
        servers.into_iter().for_each(await_ready);

        vote_at_once(&servers);
        assert_eq!(postgres.sql(DATABASE, "SELECT sum(count) FROM restaurants"), "160");
        let settings = "SELECT current_setting('statement_timeout'), current_setting('enable_seqscan'), \
                        coalesce(current_setting('jit', true), 'on'), current_setting('transaction_isolation'), (SELECT count(*) FROM pg_prepared_statements)";
        // As many as there are sessions, at once.
        thread::scope(|scope| {
            for _ in 0..2 {
                let kept = format!("SELECT pg_sleep(2); {settings}");
                scope.spawn(move || assert_eq!(sql(pooler, &kept), "0|on|on|read committed|0"));
            }
        });
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(postgres.sql(DATABASE, locks), "0");
    }
}

/// A ready app server on this database, directly or through a pooler, and where its API is.
fn serving(postgres: &Postgres, pooled: bool) -> (Option<PgBouncer>, Running, SocketAddr) {
    let pooler = pooled.then(|| pooler(postgres, ""));
    let url = pooler.as_ref().map_or_else(|| postgres.url(DATABASE), PgBouncer::url);
    let server = on(postgres).env("DATABASE_URL", url).spawn();
    let api = server.address("api");
    await_ready(api);
    (pooler, server, api)
}

#[test]
fn votes_that_share_a_batch_with_those_for_a_locked_row_are_counted_also_through_a_pooler() {
    for pooled in [false, true] {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        let (_pooler, _server, api) = serving(&postgres, pooled);
        let voting = |path: &'static str| move || http::get(api, path);
        thread::scope(|scope| {
            let lock = RowLock::take(scope, &postgres, DATABASE);
            let mut refused = vec![scope.spawn(voting("/api/ihop"))];
            eventually(PATIENCE, "the vote waits for the row", || {
                postgres.sql("postgres", WAITING_FOR_A_LOCK) == "1"
            });
            // They arrive while the first one waits.
            let counted: Vec<_> = (0..10).map(|_| scope.spawn(voting("/api/outback"))).collect();
            refused.extend((0..10).map(|_| scope.spawn(voting("/api/ihop"))));
            for vote in counted {
                assert_eq!(vote.join().expect("it is answered").status, 200, "pooled: {pooled}");
            }
            for vote in refused {
                let vote = vote.join().expect("it is answered");
                assert!(vote.text().contains("It was not counted."), "pooled: {pooled}: {vote:?}");
            }
            drop(lock);
        });
        assert_eq!(http::get(api, "/api/ihop").text(), "1", "pooled: {pooled}");
        assert_eq!(http::get(api, "/api/outback").text(), "11", "pooled: {pooled}");
    }
}

#[test]
fn a_role_with_a_stricter_isolation_loses_no_vote() {
    for isolation in ["repeatable read", "serializable"] {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        let alter =
            format!("ALTER ROLE postgres SET default_transaction_isolation = '{isolation}'");
        postgres.sql("postgres", &alter);
        let servers = [on(&postgres).spawn(), on(&postgres).spawn()];
        let servers = servers.each_ref().map(|server| server.address("api"));
        servers.into_iter().for_each(await_ready);
        vote_at_once(&servers);
        assert_eq!(postgres.sql(DATABASE, "SELECT sum(count) FROM restaurants"), "160");
    }
}

/// The server flushes its log after 10 s at the earliest unless a commit asks for it, so that a kill finds what it has not.
#[test]
fn what_a_role_does_not_wait_for_is_in_the_database_all_the_same() {
    for pooled in [false, true] {
        let postgres = Postgres::start_with(&["wal_writer_delay=10s", "synchronous_commit=off"]);
        postgres.create_original_schema();
        let (_pooler, _server, api) = serving(&postgres, pooled);
        let last = (0..20).map(|_| http::get(api, "/api/ihop").text().parse().unwrap_or(0)).max();
        postgres.kill();
        postgres.start_again();
        let kept = postgres.sql(DATABASE, "SELECT count FROM restaurants WHERE name = 'ihop'");
        assert_eq!((last, &*kept), (Some(20), "20"));
    }
}

#[test]
fn a_table_in_a_later_schema_of_the_search_path_is_not_hidden() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql(
        DATABASE,
        "CREATE ROLE yelb LOGIN PASSWORD 'yelb';
         CREATE SCHEMA yelb AUTHORIZATION yelb;
         ALTER TABLE restaurants OWNER TO yelb;
         UPDATE restaurants SET count = 44 WHERE name = 'ihop'",
    );
    let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
    let api = server.address("api");
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "45");
    let tables = "SELECT schemaname FROM pg_tables WHERE tablename = 'restaurants'";
    assert_eq!(postgres.sql(DATABASE, tables), "public");
}

/// A table of the votes that the role `yelb` finds, what it is told of it, and the counts of its next two votes.
const TABLES: [(&str, &str, [&str; 2]); 3] = [
    (
        "CREATE SCHEMA ballots AUTHORIZATION yelb;
         ALTER TABLE restaurants SET SCHEMA ballots;
         ALTER TABLE ballots.restaurants OWNER TO yelb;
         CREATE TABLE restaurants (name text, count integer);
         ALTER ROLE yelb SET search_path = ballots, public",
        "",
        ["45", "46"],
    ),
    // Votes with a key need tables that no migration has made.
    (
        "ALTER TABLE restaurants RENAME TO ballots;
         CREATE VIEW restaurants AS SELECT * FROM ballots;
         ALTER VIEW restaurants OWNER TO yelb;
         GRANT ALL ON ballots TO yelb",
        "cannot apply the migrations: migration 2: ",
        ["45", ""],
    ),
    (
        "GRANT SELECT, UPDATE ON restaurants TO yelb",
        "cannot apply the migrations: migration 2: must be owner of ",
        ["45", ""],
    ),
];

#[test]
fn a_table_is_used_as_the_role_finds_it_or_it_is_said_what_is_wrong_with_it() {
    for (change, told, counts) in TABLES {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        postgres.sql(
            DATABASE,
            "CREATE ROLE yelb LOGIN PASSWORD 'yelb'; GRANT CREATE ON SCHEMA public TO yelb;
             UPDATE restaurants SET count = 44 WHERE name = 'ihop'",
        );
        postgres.sql(DATABASE, change);
        let tables = || {
            let tables = "SELECT nspname, relkind FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'restaurants' ORDER BY 1";
            postgres.sql(DATABASE, tables)
        };
        let before = tables();
        let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
        let api = server.address("api");
        eventually(PATIENCE, "it is ready, or told why it is not", || {
            let readiness = http::get(api, "/readyz");
            let missing = &readiness.json()["dependencies"][0]["missing"];
            let missing = missing.as_str().unwrap_or_default();
            (readiness.status == 200) == told.is_empty()
                && missing.starts_with(told)
                && missing.contains("restaurants") != told.is_empty()
        });
        let key = [("Idempotency-Key", "one")];
        for (headers, count) in [&[][..], &key[..]].into_iter().zip(counts) {
            let vote = http::request(api, "GET", "/api/ihop", headers, b"");
            let counted = if vote.status == 200 { vote.text() } else { "" };
            assert_eq!(counted, count, "{change}: {vote:?}");
        }
        assert_eq!(tables(), before, "{change}");
    }
}

/// What an operator may do to a database while the app server runs, and what is told of it.
const CHANGES: [(&str, &str); 4] = [
    ("", ""),
    (
        "UPDATE restaurants SET count = 1 WHERE name = 'ihop'",
        "ihop has 1 votes, and 3 were acknowledged",
    ),
    (
        "ALTER TABLE restaurants RENAME TO before; CREATE TABLE restaurants (LIKE before INCLUDING ALL)",
        "ihop has 0 votes, and 3 were acknowledged",
    ),
    (
        "ALTER TABLE restaurants RENAME TO before; CREATE TABLE restaurants (LIKE before INCLUDING ALL); \
         INSERT INTO restaurants SELECT * FROM before",
        "the table of the votes is another one",
    ),
];

#[test]
fn a_database_that_is_not_the_one_of_before_is_reported_and_counted_in() {
    for (change, difference) in CHANGES {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        let server = on(&postgres).env("YELB_STOP_WAIT", "0").spawn();
        let api = server.address("api");
        await_ready(api);
        for count in ["1", "2", "3"] {
            assert_eq!(http::get(api, "/api/ihop").text(), count);
        }
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'yelb-appserver'";
        postgres.sql(DATABASE, &format!("{change}; {end}"));
        eventually(PATIENCE, "votes count again", || http::get(api, "/api/ihop").status == 200);
        let readiness = http::get(api, "/readyz").json();
        let told = readiness["dependencies"][0]["changed"].as_str();
        assert_eq!(told.unwrap_or_default(), difference);
        // Its end writes the lines of the log that still wait.
        server.terminate();
        server.wait(PATIENCE);
        let lines = server.stderr().matches("is not what it was before").count();
        assert_eq!(lines, usize::from(!difference.is_empty()), "{}", server.stderr());
    }
}

#[test]
fn an_address_of_ipv6_is_a_host() {
    let postgres = Postgres::start_with(&["listen_addresses=127.0.0.1,::1"]);
    postgres.create_original_schema();
    let url = postgres.url(DATABASE).replace("127.0.0.1", "[::1]");
    let server = on(&postgres).env("DATABASE_URL", url).spawn();
    let api = server.address("api");
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
}

#[test]
fn a_login_that_is_refused_is_told_in_the_words_of_the_server() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql("postgres", "CREATE ROLE yelb LOGIN PASSWORD 'yelb' CONNECTION LIMIT 0");
    let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
    let api = server.address("api");
    eventually(PATIENCE, "the reason is told", || {
        let reason = &http::get(api, "/readyz").json()["dependencies"][0]["reason"];
        // Without what the driver adds to it.
        reason.as_str().is_some_and(|reason| {
            reason.starts_with("cannot connect: ")
                && reason.ends_with(r#": too many connections for role "yelb""#)
        })
    });
    eventually(PATIENCE, "what to do is told", || {
        let missing = &http::get(api, "/readyz").json()["dependencies"][0]["missing"];
        missing.as_str().is_some_and(|missing| {
            missing.contains(r#": too many connections for role "yelb"; raise the limit: an app server keeps two"#)
        })
    });
    assert_eq!(http::get(api, "/api/ihop").status, 503);
}

#[test]
fn with_two_sessions_votes_are_counted_and_it_is_ready_or_told_that_it_needs_a_third() {
    const END: &str =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'yelb'";
    for limited in ["ROLE yelb", "DATABASE yelbdatabase"] {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        postgres.sql(
            DATABASE,
            &format!(
                "CREATE ROLE yelb LOGIN PASSWORD 'yelb'; GRANT CREATE ON SCHEMA public TO yelb;
                 ALTER TABLE restaurants OWNER TO yelb; ALTER {limited} CONNECTION LIMIT 2"
            ),
        );
        let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
        let api = server.address("api");
        for _ in 0..2 {
            eventually(PATIENCE, "it is ready, or told what it needs", || {
                let readiness = http::get(api, "/readyz");
                readiness.status == 200 || readiness.text().contains("; raise the limit: ")
            });
            eventually(PATIENCE, "votes are counted", || http::get(api, "/api/ihop").status == 200);
            postgres.sql("postgres", END);
            eventually(PATIENCE, "votes are read", || {
                http::get(api, "/api/getvotes").status == 200
            });
        }
    }
}

/// What a role needs that owns nothing, without the right to truncate or to delete keys.
const RIGHTS: &str = "CREATE ROLE yelb LOGIN PASSWORD 'yelb';
    GRANT SELECT ON _sqlx_migrations TO yelb;
    GRANT SELECT, UPDATE ON restaurants, vote_keys_turn TO yelb;
    GRANT SELECT, INSERT ON vote_keys, vote_keys_2 TO yelb";

/// Whether a vote is counted.
fn is_counted(api: SocketAddr, key: &str) -> bool {
    let key = [("Idempotency-Key", key)];
    let headers = if key[0].1.is_empty() { &[] } else { &key[..] };
    let vote = http::request(api, "GET", "/api/ihop", headers, b"");
    assert!(vote.status == 200 || vote.text().contains("was not counted"), "{vote:?}");
    vote.status == 200
}

/// A migrated database, and the role `yelb` with [`RIGHTS`].
fn with_rights() -> Postgres {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    migrate(&postgres);
    postgres.sql(DATABASE, RIGHTS);
    postgres
}

#[test]
fn a_right_that_the_role_lacks_is_named_and_votes_without_a_key_are_counted() {
    let postgres = with_rights();
    let right = "INSERT ON vote_keys_2";
    postgres.sql(DATABASE, &format!("REVOKE {right} FROM yelb"));
    let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
    let api = server.address("api");
    eventually(PATIENCE, "the right is named", || {
        let readiness = http::get(api, "/readyz");
        let told =
            "the role of the app server lacks rights; run `grant insert on vote_keys_2 to yelb`";
        readiness.status == 503 && readiness.text().contains(told)
    });
    assert!(is_counted(api, "") && !is_counted(api, "one"));

    postgres.sql(DATABASE, &format!("GRANT {right} TO yelb"));
    await_ready(api);
    assert!(is_counted(api, "one"));
}

#[test]
fn keys_that_the_role_may_not_forget_are_reported_and_votes_go_on() {
    let postgres = with_rights();
    postgres.sql(DATABASE, "UPDATE vote_keys_turn SET since = now() - interval '25 hours'");
    let server = on(&postgres).env("DATABASE_URL", url_as(&postgres, "yelb")).spawn();
    let api = server.address("api");
    await_ready(api);
    let told =
        "; grant truncate (or delete) on vote_keys and vote_keys_2, and update on vote_keys_turn";
    server.wait_for_line(
        |line| line.contains("old vote keys cannot be deleted") && line.contains(told),
        PATIENCE,
    );
    assert!(is_counted(api, "") && is_counted(api, "one"));
}

/// 160 votes from 8 clients, half of them with a key, by turns to each of these app servers; each must be confirmed.
fn vote_at_once(servers: &[SocketAddr; 2]) {
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for number in 0..20 {
                    let key = format!("{client}-{number}");
                    let key = [("Idempotency-Key", &*key)];
                    let headers = if number % 2 == 0 { &key[..] } else { &[] };
                    let server = servers[number % 3 % 2];
                    let path = ["/api/ihop", "/api/outback"][client % 2];
                    let vote = http::request(server, "GET", path, headers, b"");
                    assert_eq!(vote.status, 200, "{}", vote.text());
                }
            });
        }
    });
}

/// The URL of the database for a role whose password is its name.
fn url_as(postgres: &Postgres, role: &str) -> String {
    postgres.url(DATABASE).replace("postgres:postgres_password@", &format!("{role}:{role}@"))
}
