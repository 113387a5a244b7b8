//! What the image's script makes of an empty server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testbed::Postgres;
use yelb_db::{Location, Migrate, PostgresOptions, StoreServer, ViewLocation, VoteLocation};
use yelb_poll::Poll;
use yelb_resolver::Resolver;

/// Runs the script as the base image's entry point does, but against a server of our own.
fn initialise(postgres: &Postgres) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let outcome = Command::new(here.join("image/init-yelb-db.sh"))
        .env("YELB_MIGRATIONS", here.join("migrations/postgres"))
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", postgres.port().to_string())
        .env("PGPASSWORD", "postgres_password")
        .output()
        .expect("psql is installed; `cargo xtask test` does that");
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
}

#[test]
fn the_originals_statements_work_on_the_images_database() {
    let postgres = Postgres::start();
    initialise(&postgres);

    let counts = postgres.sql(
        "yelbdatabase",
        "prepare vote as update restaurants set count = count + 1 where name = $1;
         prepare votes as select count from restaurants where name = $1;
         execute vote('ihop');
         execute votes('ihop');
         execute votes('outback');",
    );
    assert_eq!(
        counts.lines().filter(|line| line.parse::<i64>().is_ok()).collect::<Vec<_>>(),
        ["1", "0"]
    );
}

#[test]
fn the_images_database_counts_beyond_32_bits() {
    let postgres = Postgres::start();
    initialise(&postgres);

    let vote = "update restaurants set count = 2147483647 where name = 'ihop';
                update restaurants set count = count + 1 where name = 'ihop' returning count";
    assert!(postgres.sql("yelbdatabase", vote).contains("2147483648"));
}

#[tokio::test]
async fn the_app_server_completes_the_images_database_and_keeps_its_counts() {
    let postgres = Postgres::start();
    initialise(&postgres);
    postgres.sql("yelbdatabase", "update restaurants set count = 44 where name = 'ihop'");

    let options = PostgresOptions::from_url(&postgres.url("yelbdatabase").parse().expect("a URL"));
    let options = options.expect("a URL of Postgres");
    let location = Location {
        votes: VoteLocation::Server(options),
        views: ViewLocation::Sqlite("sqlite::memory:".to_owned()),
        migrate: Migrate::Never,
        keys_kept: Duration::from_hours(24),
    };
    for _ in 0..2 {
        yelb_db::migrate(&location, Poll::default(), &Resolver::default())
            .await
            .expect("every migration leaves alone what is there");
        let applied = "select count(*) from _sqlx_migrations where success";
        assert_eq!(postgres.sql("yelbdatabase", applied), "5");
    }
    let ihop = "select count from restaurants where name = 'ihop'";
    assert_eq!(postgres.sql("yelbdatabase", ihop), "44");
}
