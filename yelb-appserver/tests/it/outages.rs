//! If a store is down, only requests that need it fail. When it is up again, they work without a restart.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::http::{self, Raw, Response};
use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually};

use crate::bare;

/// What any answer may take, whatever is down.
const LIMIT: Duration = Duration::from_secs(5);
/// What an answer may take that needs nothing of what is down.
const AT_ONCE: Duration = Duration::from_secs(1);

const VOTE: &str = "/api/ihop";
const NEED_POSTGRES: [&str; 2] = [VOTE, "/api/getvotes"];
const NEED_REDIS: [&str; 2] = ["/api/getstats", "/api/pageviews"];

/// How to lose a store, and how to get it back.
type Outage<S> = (&'static str, fn(&S), fn(&S));

const POSTGRES_OUTAGES: [Outage<Postgres>; 3] = [
    ("stopped", Postgres::stop, Postgres::start_again),
    ("killed", Postgres::kill, Postgres::start_again),
    ("frozen", Postgres::freeze, Postgres::thaw),
];
const REDIS_OUTAGES: [Outage<Redis>; 3] = [
    ("stopped", Redis::stop, Redis::start_again),
    ("killed", Redis::kill, Redis::start_again),
    ("frozen", Redis::freeze, Redis::thaw),
];

#[test]
fn without_redis_votes_work_and_page_views_say_when_to_try_again() {
    let postgres = Postgres::start();
    thread::scope(|scope| {
        for outage in REDIS_OUTAGES {
            let postgres = &postgres;
            scope.spawn(move || lose_redis(postgres, outage));
        }
    });
}

fn lose_redis(postgres: &Postgres, (what, lose, restore): Outage<Redis>) {
    let redis = Redis::start();
    let api = AppServer::start(postgres, &redis);
    api.is_ready_with("page-views", "up");

    lose(&redis);
    for path in NEED_REDIS {
        api.cannot_serve(path);
    }
    for path in NEED_POSTGRES {
        api.serves_at_once(path);
    }
    // Reported, and no reason to take the replica out of the balancer.
    api.is_ready_with("page-views", "down");

    restore(&redis);
    api.is_ready_with("page-views", "up");
    // What a frozen server was sent it counts in the end, and none of the servers has sent it twice.
    let counted = redis.cli(&["get", "pageviews"]).parse().unwrap_or(0);
    assert!(counted <= NEED_REDIS.len(), "{what}: {counted} page views");
    for path in NEED_REDIS {
        api.serves_again(path, what);
    }
}

#[test]
fn without_postgres_page_views_work_and_no_vote_is_confirmed() {
    let redis = Redis::start();
    thread::scope(|scope| {
        for outage in POSTGRES_OUTAGES {
            let redis = &redis;
            scope.spawn(move || lose_postgres(redis, outage));
        }
    });
}

fn lose_postgres(redis: &Redis, (what, lose, restore): Outage<Postgres>) {
    let postgres = Postgres::start();
    let api = AppServer::start(&postgres, redis);
    api.is_ready_with("votes", "up");
    assert_eq!(api.get(VOTE).text(), "1");

    lose(&postgres);
    for path in NEED_POSTGRES {
        api.cannot_serve(path);
    }
    for path in NEED_REDIS {
        api.serves_at_once(path);
    }
    api.is_ready_with("votes", "down");

    restore(&postgres);
    api.serves_again("/api/getvotes", what);
    api.is_ready_with("votes", "up");
    let before = votes_for_ihop(&postgres);
    // One was confirmed. The other may have been lying in a frozen server's lap.
    let possible = if what == "frozen" { 1..=2 } else { 1..=1 };
    assert!(possible.contains(&before), "{what}: {before} votes");
    assert_eq!(api.get(VOTE).text(), (before + 1).to_string());
}

#[test]
fn a_vote_for_a_locked_row_is_given_up_for_good_and_reads_are_not_held_up() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");
    assert_eq!(api.get(VOTE).text(), "1");

    thread::scope(|scope| {
        let _lock = RowLock::take(scope, &postgres, "postgres");
        let vote = scope.spawn(|| {
            let detail = api.cannot_serve(VOTE);
            assert!(detail.contains("It was not counted."), "{detail}");
        });
        eventually(PATIENCE, "the vote waits for the row", || {
            postgres.sql("postgres", WAITING_FOR_A_LOCK) == "1"
        });
        while !vote.is_finished() {
            api.serves_at_once("/api/getvotes");
        }
        vote.join().expect("it was answered in time");
        assert_eq!(postgres.sql("postgres", WAITING_FOR_A_LOCK), "0", "nothing waits behind it");
    });
    assert_eq!(api.get(VOTE).text(), "2");
}

/// Whether a 503 leaves open whether its vote was counted. If not, it says that it was not.
#[track_caller]
fn leaves_open(refused: &Response) -> bool {
    assert_eq!(refused.status, 503, "{refused:?}");
    let [is_open, is_not_counted] = [
        "The vote may or may not have been counted. Retry with the same Idempotency-Key.",
        "not counted.",
    ]
    .map(|sentence| refused.text().contains(sentence));
    assert_ne!(is_open, is_not_counted, "{refused:?}");
    is_open
}

#[test]
fn a_vote_that_may_have_been_counted_is_said_to_be_one() {
    let redis = Redis::start();
    thread::scope(|scope| {
        for outage in POSTGRES_OUTAGES {
            let redis = &redis;
            scope.spawn(move || {
                for headers in [&[][..], &[("Idempotency-Key", "one")]] {
                    lose_postgres_under_a_vote(redis, outage, headers);
                }
            });
        }
    });
}

fn lose_postgres_under_a_vote(
    redis: &Redis,
    (what, lose, restore): Outage<Postgres>,
    headers: &[(&str, &str)],
) {
    // The server says at once that a statement waits: after 1.2 s it is given up.
    let postgres = Postgres::start_with(&["log_lock_waits=on", "deadlock_timeout=10ms"]);
    let api = AppServer::start(&postgres, redis);
    api.is_ready_with("votes", "up");
    let send = || http::request(api.address, "GET", VOTE, headers, b"");
    thread::scope(|scope| {
        let _lock = RowLock::take(scope, &postgres, "postgres");
        let vote = scope.spawn(send);
        eventually(PATIENCE, "the vote waits for the row", || {
            postgres.log().contains("still waiting for")
        });
        lose(&postgres);
        let answer = vote.join().expect("it is answered");
        // A server that stops may end the session with the lock first, and the vote is counted.
        assert!(answer.status == 200 || leaves_open(&answer), "{what}: {answer:?}");
        restore(&postgres);
    });
    eventually(PATIENCE, "votes count again", || send().status == 200);
    let counted = votes_for_ihop(&postgres);
    let most = if headers.is_empty() { 2 } else { 1 };
    assert!((1..=most).contains(&counted), "{what}: {counted} votes");
}

#[test]
fn it_starts_before_its_stores_and_finds_them_by_itself() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.stop();
    redis.stop();

    let api = AppServer::start(&postgres, &redis);
    assert_eq!(api.get("/livez").status, 200);
    let readiness = api.get("/readyz");
    assert_eq!((readiness.status, &readiness.json()["status"]), (503, &"starting".into()));
    for name in ["votes", "page-views"] {
        assert!(dependency(&readiness.json(), name).is_some(), "{readiness:?}");
    }
    for path in NEED_POSTGRES.iter().chain(&NEED_REDIS) {
        api.cannot_serve(path);
    }

    // Redis first would do as well; without it the replica is ready for votes.
    postgres.start_again();
    api.is_ready_with("votes", "up");
    api.is_ready_with("page-views", "down");
    assert_eq!(api.get(VOTE).text(), "1");

    redis.start_again();
    api.serves_again("/api/getstats", "started late");
}

#[test]
fn a_database_that_accepts_and_stays_silent_at_the_start_is_waited_for() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.freeze();
    redis.freeze();
    let api = AppServer::start(&postgres, &redis);
    assert_eq!(api.get("/livez").status, 200);
    for path in NEED_POSTGRES.iter().chain(&NEED_REDIS) {
        api.cannot_serve(path);
    }
    postgres.thaw();
    redis.thaw();
    for path in NEED_POSTGRES.iter().chain(&NEED_REDIS) {
        api.serves_again(path, "thawed");
    }
    api.is_ready_with("votes", "up");
}

#[test]
fn a_role_that_may_not_migrate_waits_and_says_what_is_missing() {
    let postgres = Postgres::start();
    let redis = Redis::start();
    let never = |program: Program| program.env("YELB_MIGRATE", "never");
    let api = AppServer::start_with(never(with_stores(&postgres, &redis)));
    eventually(PATIENCE, "/readyz says which migrations are missing", || {
        let readiness = api.get("/readyz");
        let report = readiness.json();
        let missing = dependency(&report, "votes").and_then(|votes| votes["missing"].as_str());
        readiness.status == 503 && missing.is_some_and(|text| text.contains("1 restaurants"))
    });
    api.cannot_serve(VOTE);

    let migrate = with_stores(&postgres, &redis).arg("migrate").run_to_end(PATIENCE);
    assert!(migrate.status.success(), "{migrate:?}");
    api.is_ready_with("votes", "up");
    assert_eq!(api.get(VOTE).text(), "1");
}

#[test]
fn a_confirmed_vote_survives_a_database_that_is_killed_again_and_again() {
    const VOTERS: usize = 4;
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");

    let over = AtomicBool::new(false);
    let open = AtomicU64::new(0);
    let confirmed = Mutex::new(Vec::new());
    let total = || u64::try_from(confirmed.lock().unwrap().len()).unwrap();
    thread::scope(|scope| {
        for _ in 0..VOTERS {
            scope.spawn(|| {
                let mut connection = Raw::connect(api.address);
                while !over.load(SeqCst) {
                    let answer = vote(&mut connection);
                    if answer.status == 200 {
                        confirmed.lock().unwrap().push(answer.json().as_u64().unwrap());
                    } else {
                        open.fetch_add(leaves_open(&answer).into(), SeqCst);
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        let _over = SetOnDrop(&over);
        for _ in 0..3 {
            let before = total();
            eventually(PATIENCE, "votes are confirmed", || total() > before + 50);
            postgres.kill();
            postgres.start_again();
        }
        let before = total();
        eventually(PATIENCE, "votes are confirmed again", || total() > before);
    });

    let counted = votes_for_ihop(&postgres);
    let (open, confirmed) = (open.into_inner(), confirmed.into_inner().unwrap());
    let distinct: BTreeSet<_> = confirmed.iter().collect();
    assert_eq!(distinct.len(), confirmed.len(), "two voters were told the same count");
    assert!(distinct.last() <= Some(&&counted), "a confirmed vote is gone");
    let confirmed = confirmed.len() as u64;
    assert!(
        (confirmed..=confirmed + open).contains(&counted),
        "{confirmed} confirmed, {open} left open, {counted} counted: a vote that was not counted was"
    );
}

#[test]
fn connections_that_the_server_ends_while_they_idle_cost_no_vote() {
    let postgres = Postgres::start_with(&["idle_session_timeout=2s"]);
    let redis = Redis::start();
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");
    for count in ["1", "2", "3"] {
        assert_eq!(api.get(VOTE).text(), count);
        assert_eq!(api.get("/api/getvotes").status, 200);
        // Longer than the server lets a connection idle.
        thread::sleep(Duration::from_secs(3));
    }
}

#[test]
fn a_vote_with_a_key_and_a_read_survive_the_loss_of_their_connection() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");
    let end_sessions = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
                        where application_name = 'yelb-appserver'";
    for number in 1..=10 {
        let key = [("Idempotency-Key", &*format!("vote-{number}"))];
        postgres.sql("postgres", end_sessions);
        let vote = http::request(api.address, "GET", VOTE, &key, b"");
        assert_eq!((vote.status, vote.text()), (200, &*number.to_string()));
        postgres.sql("postgres", end_sessions);
        assert_eq!(api.get("/api/getvotes").status, 200);
    }
    assert_eq!(votes_for_ihop(&postgres), 10);
}

#[test]
fn concurrent_votes_each_get_a_count_of_their_own() {
    const CLIENTS: usize = 60;
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");
    api.is_ready_with("page-views", "up");
    let votes = || votes_for_ihop(&postgres);
    let views = || redis.cli(&["get", "pageviews"]).parse().expect("a count is a number");

    let cases: [(&str, &dyn Fn() -> u64); 2] = [(VOTE, &votes), ("/api/pageviews", &views)];
    for (path, counted) in cases {
        let sent = AtomicU64::new(0);
        // A slow machine may have to turn some away, who then come again.
        let ask = || {
            loop {
                sent.fetch_add(1, SeqCst);
                let answer = api.get(path);
                if answer.status != 503 {
                    return answer.json().as_u64();
                }
            }
        };
        let counts: BTreeSet<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().map(|client| client.join().unwrap().unwrap()).collect()
        });
        assert_eq!(counts.len(), CLIENTS, "{path}");
        assert!(counts.last() <= Some(&counted()) && counted() <= sent.into_inner(), "{path}");
    }
}

#[test]
fn requests_do_not_connect_to_the_stores() {
    const REQUESTS: usize = 500;
    /// A writer, a reader that follows it once, one that prepares the schema and one that looks for old keys; some of them
    /// twice, where the schema is new.
    const MOST: usize = 8;
    let postgres = Postgres::start_with(&["log_connections=on"]);
    let redis = Redis::start();
    let api = AppServer::start(&postgres, &redis);
    api.is_ready_with("votes", "up");
    api.is_ready_with("page-views", "up");
    let redis_connections = || {
        let stats = redis.cli(&["info", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };

    let before = redis_connections();
    thread::scope(|scope| {
        for path in NEED_POSTGRES.iter().chain(&NEED_REDIS) {
            let api = &api;
            scope.spawn(move || {
                for _ in 0..REQUESTS / 4 {
                    assert_eq!(api.get(path).status, 200);
                }
            });
        }
    });
    assert_eq!(redis_connections() - before, 1, "besides the one that asks");
    let sessions = postgres.log().matches("connection authorized").count();
    assert!((1..=MOST).contains(&sessions), "{sessions} sessions");
}

/// The app server on these stores.
pub(crate) fn with_stores(postgres: &Postgres, redis: &Redis) -> Program {
    bare().env("DATABASE_URL", postgres.url("postgres")).env("REDIS_URL", redis.url())
}

/// A running app server. It must outlast every outage.
struct AppServer {
    address: SocketAddr,
    running: Running,
}

impl AppServer {
    #[track_caller]
    fn start(postgres: &Postgres, redis: &Redis) -> Self {
        Self::start_with(with_stores(postgres, redis))
    }

    #[track_caller]
    fn start_with(program: Program) -> Self {
        let running = program.spawn();
        Self { address: running.address("api"), running }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        assert!(self.running.is_running(), "{:?}", self.running);
        http::get(self.address, path)
    }

    /// It says in time that it cannot, in a way that programs, proxies and scripts of other origins understand.
    /// Its detail is for the test to judge.
    #[track_caller]
    fn cannot_serve(&self, path: &str) -> String {
        let asked = Instant::now();
        let answer = self.get(path);
        let taken = asked.elapsed();
        assert!(taken < LIMIT, "{path} took {taken:?}");
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert_eq!(answer.json()["status"], 503, "{path}: {answer:?}");
        assert!(answer.json()["detail"].is_string(), "{path}: {answer:?}");
        for (field, value) in [
            ("retry-after", "1"),
            ("content-type", "application/problem+json"),
            ("access-control-allow-origin", "*"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(field), Some(value), "{path}: {answer:?}");
        }
        assert!(answer.header("yelb-host").is_some(), "{path}: {answer:?}");
        answer.json()["detail"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn serves_at_once(&self, path: &str) {
        let asked = Instant::now();
        let answer = self.get(path);
        let taken = asked.elapsed();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(taken < AT_ONCE, "{path} took {taken:?}");
    }

    #[track_caller]
    fn serves_again(&self, path: &str, after: &str) {
        eventually(PATIENCE, &format!("{path} is served after the store was {after}"), || {
            self.get(path).status == 200
        });
    }

    /// Ready for traffic, and the dependency is, or soon is, in this state.
    #[track_caller]
    fn is_ready_with(&self, name: &str, state: &str) {
        eventually(PATIENCE, &format!("/readyz is 200 and {name} is {state}"), || {
            let readiness = self.get("/readyz");
            let report = readiness.json();
            let is_whole = ["votes", "page-views"].iter().all(|name| {
                dependency(&report, name).is_some_and(|dependency| dependency["state"] != "down")
            });
            readiness.status == 200
                && report["status"] == if is_whole { "ready" } else { "degraded" }
                && dependency(&report, name).is_some_and(|dependency| dependency["state"] == state)
        });
    }
}

fn dependency<'a>(readiness: &'a Value, name: &str) -> Option<&'a Value> {
    readiness["dependencies"].as_array()?.iter().find(|dependency| dependency["name"] == name)
}

fn vote(connection: &mut Raw) -> Response {
    connection.send(format!("GET {VOTE} HTTP/1.1\r\nHost: yelb\r\n\r\n"));
    connection.read_response()
}

#[track_caller]
fn votes_for_ihop(postgres: &Postgres) -> u64 {
    let count = postgres.sql("postgres", "select count from restaurants where name = 'ihop'");
    count.parse().expect("a count is a number")
}

pub(crate) const WAITING_FOR_A_LOCK: &str =
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";

/// Another client's transaction, which has changed the row of `ihop` and takes its time. Dropping it ends it.
pub(crate) struct RowLock<'a> {
    postgres: &'a Postgres,
}

impl<'a> RowLock<'a> {
    #[track_caller]
    pub(crate) fn take<'scope>(
        scope: &'scope thread::Scope<'scope, 'a>,
        postgres: &'a Postgres,
        database: &'static str,
    ) -> RowLock<'a> {
        scope.spawn(move || {
            let hold = "begin; update restaurants set count = count where name = 'ihop';
                        select pg_sleep(60); rollback";
            // It ends with an error: it is terminated.
            postgres.try_sql(database, hold, 2 * PATIENCE)
        });
        eventually(PATIENCE, "the row is locked", || {
            let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
            postgres.sql("postgres", asleep) == "1"
        });
        RowLock { postgres }
    }
}

impl Drop for RowLock<'_> {
    fn drop(&mut self) {
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'";
        drop(self.postgres.try_sql("postgres", end, PATIENCE));
    }
}

/// Ends the other threads of a scope, also when the test fails.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
