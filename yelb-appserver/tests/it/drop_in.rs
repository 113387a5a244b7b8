//! Either half of the original can be replaced, alone: its app server by ours, or its database by ours.

use std::net::SocketAddr;
use std::thread;

use testbed::{Output, PATIENCE, Postgres, Program, Redis, eventually, http};

use crate::{DATABASE, Yelb, appserver, await_ready, on};

/// Type and length of the columns that the original uses.
const COLUMNS: &str = "SELECT column_name, data_type, character_maximum_length
                       FROM information_schema.columns
                       WHERE table_name = 'restaurants' AND column_name IN ('name', 'count')
                       ORDER BY column_name DESC";
const COUNTS: &str = "SELECT trim(name), count FROM restaurants ORDER BY name";

// ---- our app server on the original's database

#[test]
fn the_originals_database_is_taken_over_with_all_of_its_votes() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql(DATABASE, "UPDATE restaurants SET count = 1000 + length(trim(name))");
    assert_eq!(postgres.sql(DATABASE, COLUMNS), "name|character|30\ncount|integer|");

    let server = on(&postgres).spawn();
    let api = server.address("api");
    await_ready(api);
    let kept = "bucadibeppo|1011\nchipotle|1008\nihop|1004\noutback|1007";
    assert_eq!(postgres.sql(DATABASE, COUNTS), kept);
    assert_eq!(postgres.sql(DATABASE, COLUMNS), "name|character|30\ncount|bigint|");
    assert_eq!(http::get(api, "/api/ihop").text(), "1005");
    assert_eq!(http::get(api, "/api/chipotle").text(), "1009");
}

#[test]
fn a_count_goes_on_where_the_originals_ends() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql(DATABASE, "UPDATE restaurants SET count = 2147483646 WHERE name = 'ihop'");
    let server = on(&postgres).spawn();
    let api = server.address("api");
    await_ready(api);
    for count in ["2147483647", "2147483648", "2147483649"] {
        assert_eq!(http::get(api, "/api/ihop").text(), count);
    }
    assert_eq!(votes(api), Some(2_147_483_649));
}

#[test]
fn a_table_made_by_hand_is_completed() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    postgres.sql(
        DATABASE,
        "CREATE TABLE restaurants (name char(30), count integer, city text);
         INSERT INTO restaurants (name, count) VALUES ('ihop', 7), ('outback', NULL), ('kfc', 9)",
    );
    let server = on(&postgres).spawn();
    let api = server.address("api");
    await_ready(api);

    let keys = "SELECT indisunique FROM pg_index WHERE indrelid = 'restaurants'::regclass";
    assert_eq!(postgres.sql(DATABASE, keys), "t");
    // Rows of the poll that were missing are there, and what was there is as it was.
    let rows = "bucadibeppo|0\nchipotle|0\nihop|7\nkfc|9\noutback|";
    assert_eq!(postgres.sql(DATABASE, COUNTS), rows);
    assert_eq!(http::get(api, "/api/outback").text(), "1");
    assert_eq!(http::get(api, "/api/bucadibeppo").text(), "1");
    assert_eq!(http::get(api, "/api/kfc").status, 404);
}

#[test]
fn a_table_that_cannot_be_completed_is_voted_on_and_never_ready() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    postgres.sql(
        DATABASE,
        "CREATE TABLE restaurants (name char(30), count integer);
         INSERT INTO restaurants VALUES ('ihop', 7), ('ihop', 7)",
    );
    let server = on(&postgres).spawn();
    let api = server.address("api");
    eventually(PATIENCE, "it says what is wrong with the table", || {
        let readiness = http::get(api, "/readyz");
        let missing = &readiness.json()["dependencies"][0]["missing"];
        let told = r#"cannot apply the migrations: migration 3: could not create unique index "restaurants_pkey""#;
        readiness.status == 503 && missing == told
    });
    assert_eq!(http::get(api, "/api/ihop").text(), "8");
    assert_eq!(votes(api), Some(8));
    let output = on(&postgres).arg("migrate").run_to_end(PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("could not create unique index"), "{output:?}");
}

#[test]
fn a_read_only_database_is_read() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    let vote = "UPDATE restaurants SET count = 44 WHERE name = 'ihop'";
    let read_only = "ALTER DATABASE yelbdatabase SET default_transaction_read_only = on";
    postgres.sql(DATABASE, &[vote, read_only].join("; "));

    // The original's, with migrations that cannot be applied, and then with all of them.
    for migrated in [false, true] {
        if migrated {
            let writable = "BEGIN READ WRITE; ALTER DATABASE yelbdatabase RESET ALL; COMMIT";
            postgres.sql("postgres", writable);
            migrate(&postgres);
            postgres.sql("postgres", read_only);
        }
        let server = on(&postgres).spawn();
        let api = server.address("api");
        eventually(PATIENCE, "the votes are listed", || {
            http::get(api, "/api/getvotes").status == 200
        });
        eventually(PATIENCE, "it is ready only on a schema that is complete", || {
            let readiness = http::get(api, "/readyz");
            (readiness.status == 200) == migrated
                && (migrated || readiness.text().contains("read-only transaction"))
        });
        assert_eq!(votes(api), Some(44));
        let refused = http::get(api, "/api/ihop");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert_eq!(votes(api), Some(44));
    }
}

#[test]
fn the_page_views_are_those_of_the_originals_key() {
    let redis = Redis::start();
    let server = appserver().env("REDIS_URL", redis.url()).spawn();
    let api = server.address("api");
    let views = || http::get(api, "/api/pageviews");
    eventually(PATIENCE, "Redis is reached", || views().status == 200);

    redis.cli(&["set", "pageviews", "100"]);
    assert_eq!(views().text(), "101");
    // As the original app server counts, next to ours.
    assert_eq!(redis.cli(&["incr", "pageviews"]), "102");
    assert_eq!(http::get(api, "/api/getstats").json()["pageviews"], 103);
    assert_eq!(redis.cli(&["get", "pageviews"]), "103");
    assert_eq!(redis.cli(&["keys", "*"]), "pageviews");
    // Someone begins anew.
    redis.cli(&["flushall"]);
    assert_eq!(views().text(), "1");
}

// ---- our database under the original's app server

/// As the original prepares them: it names no types, so that the server has to find the parameter's.
const ORIGINAL_READ: &str = "PREPARE statement1 AS SELECT count FROM restaurants WHERE name = $1; EXECUTE statement1('ihop')";
const ORIGINAL_VOTE: &str = "PREPARE statement1 AS UPDATE restaurants SET count = count +1 WHERE name = $1; EXECUTE statement1('ihop')";

#[test]
fn the_originals_statements_work_on_our_schema_next_to_our_votes() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    migrate(&postgres);
    let found = "SELECT parameter_types FROM pg_prepared_statements";
    let found = postgres.sql(DATABASE, &format!("{ORIGINAL_VOTE}; {found}"));
    assert_eq!(found, "{character}");
    assert_eq!(postgres.sql(DATABASE, ORIGINAL_READ), "1");

    let server = on(&postgres).spawn();
    let api = server.address("api");
    await_ready(api);
    for round in 1..=3 {
        assert_eq!(http::get(api, "/api/ihop").text(), (2 * round).to_string());
        assert_eq!(postgres.sql(DATABASE, ORIGINAL_READ), (2 * round).to_string());
        postgres.sql(DATABASE, ORIGINAL_VOTE);
        assert_eq!(votes(api), Some(2 * round + 1));
    }
}

#[test]
fn at_once_with_the_originals_votes_none_is_lost() {
    let yelb = Yelb::start();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..10 {
                    yelb.sql(ORIGINAL_VOTE);
                }
            });
            scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(http::get(yelb.api, "/api/ihop").status, 200);
                }
            });
        }
    });
    assert_eq!(votes(yelb.api), Some(420));
}

// ---- migrations

#[test]
fn who_may_not_migrate_waits_for_those_who_do() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    let server = on(&postgres).env("YELB_MIGRATE", "never").spawn();
    let api = server.address("api");
    eventually(PATIENCE, "it says what is pending, and what to do", || {
        let readiness = http::get(api, "/readyz");
        let said = &readiness.json()["dependencies"][0]["missing"];
        let said = said.as_str().unwrap_or_default();
        readiness.status == 503
            && ["1 restaurants", "2 counts", "3 one row", "yelb-appserver migrate"]
                .iter()
                .all(|part| said.contains(part))
    });
    assert_eq!(http::get(api, "/api/ihop").status, 503);
    assert_eq!(
        postgres.sql(DATABASE, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );

    migrate(&postgres);
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
}

#[test]
fn migrating_again_changes_nothing() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql(DATABASE, "UPDATE restaurants SET count = 44 WHERE name = 'ihop'");
    let state = || {
        let migrations = postgres.sql(DATABASE, "SELECT * FROM _sqlx_migrations ORDER BY version");
        // With the transaction that wrote each row.
        (migrations, postgres.sql(DATABASE, "SELECT xmin, * FROM restaurants ORDER BY name"))
    };
    migrate(&postgres);
    let before = state();
    migrate(&postgres);
    assert_eq!(state(), before);
    assert!(before.1.contains("|44"), "{before:?}");
}

#[test]
fn any_number_may_migrate_at_once() {
    let postgres = Postgres::start();
    let migrations = "SELECT count(*) FROM _sqlx_migrations WHERE success";

    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    let programs: Vec<_> = (0..3).map(|_| on(&postgres).arg("migrate").spawn()).collect();
    for program in programs {
        assert!(program.wait(PATIENCE).success(), "{program:?}");
    }
    assert_eq!(postgres.sql(DATABASE, migrations), "5");

    postgres.sql("postgres", "DROP DATABASE yelbdatabase");
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    let servers: Vec<_> = (0..3).map(|_| on(&postgres).spawn()).collect();
    for (server, count) in servers.iter().zip(["1", "2", "3"]) {
        let api = server.address("api");
        await_ready(api);
        assert_eq!(http::get(api, "/api/ihop").text(), count);
    }
    assert_eq!(postgres.sql(DATABASE, migrations), "5");
}

#[test]
fn migrating_without_a_database_says_so_in_one_line() {
    let unreachable = "postgres://postgres:secret@127.0.0.1:1/yelbdatabase";
    let Output { status, stderr, .. } = appserver()
        .env("DATABASE_URL", unreachable)
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .arg("migrate")
        .run_to_end(PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with("yelb-appserver: cannot connect") && stderr.contains("refused"),
        "{stderr}"
    );
}

/// Runs `yelb-appserver migrate`, which must succeed.
#[track_caller]
pub(crate) fn migrate(postgres: &Postgres) {
    let program: Program = on(postgres).arg("migrate");
    let output = program.run_to_end(PATIENCE);
    assert!(output.status.success(), "{output:?}");
}

/// What the list of votes says of `ihop`.
#[track_caller]
fn votes(api: SocketAddr) -> Option<i64> {
    let list = http::get(api, "/api/getvotes").json();
    list.as_array()?.iter().find(|row| row["name"] == "ihop")?["value"].as_i64()
}
