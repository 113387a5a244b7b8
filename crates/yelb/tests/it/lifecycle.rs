//! From the greeting to the last answer, and on to the next start.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use testbed::http::{self, Raw};
use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually};

use crate::{addresses, yelb};

/// Less than the 3 s for which it goes on after SIGTERM, unless told otherwise.
const AT_ONCE: Duration = Duration::from_secs(2);

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const VOTE: &str = "GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n";

#[test]
fn the_first_vote_needs_nothing_but_the_program() {
    let yelb = yelb().spawn();
    let (page, api) = addresses(&yelb);
    assert!(http::get(page, "/").text().contains("<html"));
    assert_eq!(http::get(page, "/api/ihop").text(), "1");
    assert_eq!(http::get(api, "/api/ihop").text(), "2");
    assert_eq!(http::get(page, "/api/pageviews").text(), "1");
    for server in [page, api] {
        assert_eq!(http::get(server, "/livez").text(), "ok\n");
        assert_eq!(http::get(server, "/readyz").status, 200);
        assert_eq!(http::get(server, "/metrics").status, 404);
    }
    let file = yelb.home().join(".local/share/yelb/yelb.db");
    let said = yelb.stdout();
    assert!(file.is_file() && said.contains(&file.display().to_string()), "{said}");

    yelb.interrupt();
    assert!(yelb.wait(AT_ONCE).success(), "{yelb:?}");
    assert_eq!(yelb.stderr(), "", "the terminal is the person's");
}

#[test]
fn it_logs_where_it_listens_and_counts_votes_on_the_admin_port() {
    let yelb = yelb().env("RUST_LOG", "info").env("YELB_ADMIN_PORT", "0").spawn();
    let (page, api, admin) = (yelb.address("page"), yelb.address("api"), yelb.address("admin"));
    assert_eq!((page, api), addresses(&yelb));
    assert_eq!(http::get(page, "/api/ihop").text(), "1");
    let metrics = http::get(admin, "/metrics");
    assert!(metrics.text().contains("yelb_votes_total{restaurant=\"ihop\"} 1"), "{metrics:?}");
    // By way of the page, too, a vote is one request of the app server's.
    let measured: Vec<_> = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with(REQUESTS) && !line.contains("readyz"))
        .collect();
    assert_eq!(measured.len(), 1, "{measured:?}");
    assert!(
        measured[0].contains("http_route=\"/api/ihop\"") && measured[0].ends_with("} 1"),
        "{measured:?}"
    );
    yelb.interrupt();
    assert!(yelb.wait(PATIENCE).success(), "{yelb:?}");
    assert_eq!(yelb.stderr().matches(" answered ").count(), 1, "{yelb:?}");
}

#[test]
fn votes_and_page_views_are_there_at_the_next_start_however_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut views = 0;
    for (round, end) in [Running::interrupt, Running::terminate, Running::kill].iter().enumerate() {
        let yelb = in_folder(&folder).env("YELB_STOP_WAIT", "0").spawn();
        let (page, api) = addresses(&yelb);
        let votes = u64::try_from(round).unwrap() * 2;
        assert_eq!(http::get(page, "/api/outback").text(), (votes + 1).to_string());
        assert_eq!(http::get(api, "/api/outback").text(), (votes + 2).to_string());
        views += 1;
        assert_eq!(http::get(page, "/api/pageviews").text(), views.to_string());
        end(&yelb);
        yelb.wait(PATIENCE);
    }
    // Where the XDG Base Directory Specification says.
    assert!(fs::exists(folder.path().join("yelb/yelb.db")).unwrap());
}

#[test]
fn told_to_stop_it_leaves_one_file_that_can_be_copied() {
    let folder = tempfile::tempdir().unwrap();
    let yelb = in_folder(&folder).spawn();
    assert_eq!(http::get(addresses(&yelb).1, "/api/ihop").text(), "1");
    yelb.interrupt();
    assert!(yelb.wait(PATIENCE).success());

    let files = fs::read_dir(folder.path().join("yelb")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["yelb.db"]);
}

#[test]
fn a_confirmed_vote_survives_the_death_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (sent, confirmed) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    for _ in 0..3 {
        let yelb = in_folder(&folder).spawn();
        let (page, api) = addresses(&yelb);
        thread::scope(|scope| {
            for server in [page, api, page, api] {
                scope.spawn({
                    let (sent, confirmed) = (&sent, &confirmed);
                    move || {
                        let mut connection = Raw::connect(server);
                        loop {
                            sent.fetch_add(1, SeqCst);
                            if connection.try_send(VOTE).is_err() {
                                break;
                            }
                            let Ok(answer) = connection.try_read_response_to("GET") else { break };
                            assert_eq!(answer.status, 200, "{answer:?}");
                            let first = confirmed.lock().unwrap().insert(answer.json().as_u64());
                            assert!(first, "two voters were told the same count: {answer:?}");
                        }
                    }
                });
            }
            let before = confirmed.lock().unwrap().len();
            eventually(PATIENCE, "votes are confirmed", || {
                confirmed.lock().unwrap().len() > before + 50
            });
            yelb.kill();
        });
    }
    let yelb = in_folder(&folder).spawn();
    let next = http::get(addresses(&yelb).1, "/api/ihop").json().as_u64().unwrap();
    let (sent, confirmed) = (sent.into_inner(), confirmed.into_inner().unwrap());
    assert!(confirmed.last().copied().flatten() < Some(next), "a confirmed vote is gone");
    assert!(next <= sent + 1, "{} counted, {sent} sent", next - 1);
}

#[test]
fn told_to_stop_it_answers_until_balancers_know_and_every_vote_that_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let yelb = in_folder(&folder).env("YELB_STOP_WAIT", "2").spawn();
    let (page, api) = addresses(&yelb);
    let confirmed = AtomicU64::new(0);
    let more_are_confirmed = |what: &str| {
        let before = confirmed.load(SeqCst);
        eventually(PATIENCE, what, || confirmed.load(SeqCst) > before + 20);
    };
    thread::scope(|scope| {
        for server in [page, api, page, api] {
            scope.spawn({
                let confirmed = &confirmed;
                move || {
                    let mut connection = Raw::connect(server);
                    loop {
                        // At the end, the server closes connections that are idle at this moment.
                        if connection.try_send(VOTE).is_err() {
                            break;
                        }
                        let Ok(answer) = connection.try_read_response_to("GET") else { break };
                        assert_eq!(answer.status, 200, "{answer:?}");
                        confirmed.fetch_add(1, SeqCst);
                        if answer.header("connection") == Some("close") {
                            let Ok(next) = Raw::try_connect(server) else { break };
                            connection = next;
                        }
                    }
                }
            });
        }
        more_are_confirmed("votes are confirmed");
        yelb.terminate();
        for server in [page, api] {
            eventually(PATIENCE, "it is not ready", || http::get(server, "/readyz").status == 503);
        }
        more_are_confirmed("votes are confirmed while it is not ready");
        assert_eq!(http::get(page, "/").status, 200);
    });
    assert!(yelb.wait(PATIENCE).success(), "{yelb:?}");

    let yelb = in_folder(&folder).spawn();
    let next = http::get(addresses(&yelb).1, "/api/ihop");
    assert_eq!(next.text(), (confirmed.into_inner() + 1).to_string());
}

#[test]
fn a_vote_in_flight_from_the_page_to_the_database_is_answered_before_the_end() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let yelb = yelb()
        .env("DATABASE_URL", postgres.url("postgres"))
        .env("REDIS_URL", redis.url())
        .env("YELB_STOP_WAIT", "0")
        .spawn();
    let (page, _) = addresses(&yelb);
    eventually(PATIENCE, "it is ready", || http::get(page, "/readyz").status == 200);

    let ask = |statement: &str| postgres.sql("postgres", statement);
    let asleep = "from pg_stat_activity where wait_event = 'PgSleep'";
    thread::scope(|scope| {
        scope.spawn(|| {
            let lock = "begin; update restaurants set count = count where name = 'ihop';
                        select pg_sleep(60); rollback";
            // It ends with an error: it is terminated.
            postgres.try_sql("postgres", lock, 2 * PATIENCE)
        });
        eventually(PATIENCE, "the row is locked", || ask(&format!("select 1 {asleep}")) == "1");
        let mut voter = Raw::connect(page);
        voter.send(VOTE);
        eventually(PATIENCE, "the vote waits for the row", || {
            ask("select 1 from pg_stat_activity where wait_event_type = 'Lock'") == "1"
        });
        yelb.terminate();
        eventually(PATIENCE, "the page takes no more", || TcpStream::connect(page).is_err());
        ask(&format!("select pg_terminate_backend(pid) {asleep}"));
        let answer = voter.read_response();
        assert_eq!((answer.status, answer.text()), (200, "1"));
    });
    assert!(yelb.wait(AT_ONCE).success(), "{yelb:?}");
}

#[test]
fn whatever_clients_do_it_ends_within_ten_seconds_of_sigterm() {
    let yelb = yelb().env("RUST_LOG", "info").env("YELB_ADMIN_PORT", "0").spawn();
    let _page = http::stuck_clients(yelb.address("page"), "/api/hostname");
    let _api = http::stuck_clients(yelb.address("api"), "/api/hostname");
    let _admin = http::stuck_clients(yelb.address("admin"), "/metrics");
    yelb.terminate();
    assert!(yelb.wait(Duration::from_secs(10)).success(), "{yelb:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for again in [Running::terminate, Running::interrupt] {
        let yelb = yelb().env("YELB_STOP_WAIT", "600").spawn();
        let (page, _) = addresses(&yelb);
        yelb.terminate();
        eventually(PATIENCE, "it is not ready", || http::get(page, "/readyz").status == 503);
        again(&yelb);
        yelb.wait(AT_ONCE);
    }
}

/// All of Yelb, with its data in this folder instead of its home.
fn in_folder(folder: &tempfile::TempDir) -> Program {
    yelb().env("XDG_DATA_HOME", folder.path())
}
