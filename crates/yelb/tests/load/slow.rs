//! A store that takes long: a round does more, and nothing else grows.

use std::time::Duration;

use testbed::{DelayProxy, PATIENCE, Postgres, Program, Redis, eventually};

use crate::{load, report, status};

/// What every round trip to the database takes longer.
const DELAY: Duration = Duration::from_millis(150);
/// What a thousand requests on their way may take, and all that a database answers.
const ROOM_KIB: u64 = 12 * 1024;

#[test]
fn a_slow_database_makes_rounds_larger_and_nothing_else() {
    let postgres = Postgres::start_with(&["log_statement=all"]);
    postgres.create_original_schema();
    let (proxy, redis) = (DelayProxy::to(postgres.port()), Redis::start());
    let through = format!("127.0.0.1:{}", proxy.port());
    let url = postgres.url("yelbdatabase");
    let url = url.replace(&format!("127.0.0.1:{}", postgres.port()), &through);
    let server = Program::of_workspace("yelb-appserver")
        .env("DATABASE_URL", url)
        .env("REDIS_URL", redis.url())
        .envs("PORT=0, YELB_ADMIN_PORT=off, RUST_LOG=info,yelb_service::observe=warn")
        .spawn();
    let address = server.address("api");
    eventually(PATIENCE, "it reads its votes", || status(address) == 200);
    // Without `--verify`, which would send the votes a second time.
    let load = || {
        let before = counted(&postgres);
        let flags = "--rate 600 --duration 3s --retry --json";
        let output = load(&format!("http://{address}"), flags).run_to_end(PATIENCE);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let votes = report(&output)["votes"]["succeeded"].as_u64().unwrap();
        assert_eq!(counted(&postgres) - before, votes, "{output:?}");
        (votes, report(&output)["seconds"].as_f64().unwrap())
    };
    load();
    let (rounds, room) = (rounds(&postgres), server.most_memory_kib());

    proxy.takes(DELAY);
    let (votes, seconds) = load();
    let rounds = self::rounds(&postgres) - rounds;
    // One is in flight at a time, so there is no time for more than these.
    let most = seconds / DELAY.as_secs_f64() + 1.0;
    assert!(f64::from(rounds) <= most, "{rounds} rounds in {seconds} s");
    let votes = u32::try_from(votes).unwrap();
    assert!(votes >= rounds * 50, "{votes} votes in {rounds} rounds");
    let more = server.most_memory_kib() - room;
    assert!(more <= ROOM_KIB, "{more} KiB more than with a fast database, which took {room}");
}

fn counted(postgres: &Postgres) -> u64 {
    postgres.sql("yelbdatabase", "select sum(count) from restaurants").parse().unwrap()
}

/// How many statements have counted votes.
fn rounds(postgres: &Postgres) -> u32 {
    u32::try_from(postgres.log().matches("update restaurants set count").count()).unwrap()
}
