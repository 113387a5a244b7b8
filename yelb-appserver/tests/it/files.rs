//! Votes in an SQLite file: one that two processes share, and one that is taken away from under a process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use testbed::http::{self, Raw};
use testbed::{PATIENCE, Program, Running, eventually};

use crate::{await_ready, bare};

/// How a file is lost while it is in use, and how it comes back.
type Loss = (&'static str, fn(&Path), fn(&Path));

const LOSSES: [Loss; 4] = [
    ("moved", |file| rename(file, &aside(file)), |file| rename(&aside(file), file)),
    // As a backup is restored: the process has the old one open.
    (
        "replaced",
        |file| {
            rename(file, &aside(file));
            drop(fs::copy(aside(file), file));
        },
        |file| rename(&aside(file), file),
    ),
    // What was counted last is in the log alone.
    (
        "its log moved",
        |file| rename(&log(file), &aside(file)),
        |file| rename(&aside(file), &log(file)),
    ),
    (
        "its folder moved",
        |file| rename(folder(file), &aside(folder(file))),
        |file| rename(&aside(folder(file)), folder(file)),
    ),
];

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).expect("what is there can be renamed");
}

fn aside(file: &Path) -> PathBuf {
    file.with_extension("aside")
}

fn log(file: &Path) -> PathBuf {
    file.with_extension("db-wal")
}

fn folder(file: &Path) -> &Path {
    file.parent().expect("it is in a folder")
}

/// The app server, with votes and page views in this file.
fn on_file(file: &Path) -> Program {
    let url = format!("sqlite:{}", file.display());
    bare().env("DATABASE_URL", &url).env("REDIS_URL", &url)
}

/// The app server, with both in a file of its home.
fn with_file() -> (Running, SocketAddr, PathBuf) {
    let program = bare().env("DATABASE_URL", "sqlite:votes/yelb.db");
    let program = program.env("REDIS_URL", "sqlite:votes/yelb.db");
    let file = program.home().join("votes/yelb.db");
    let server = program.spawn();
    let api = server.address("api");
    await_ready(api);
    (server, api, file)
}

fn readiness(api: SocketAddr) -> String {
    http::get(api, "/readyz").text().to_owned()
}

#[test]
fn a_file_that_is_lost_is_noticed_before_a_vote_is_confirmed() {
    for (loss, lose, restore) in LOSSES {
        let (_server, api, file) = with_file();
        assert_eq!(http::get(api, "/api/ihop").text(), "1");
        lose(&file);
        let vote = http::get(api, "/api/ihop");
        assert_eq!(vote.status, 503, "{loss}: {vote:?}");
        assert!(vote.text().contains("was not counted."), "{loss}: {vote:?}");
        assert_eq!(http::get(api, "/api/pageviews").status, 503, "{loss}");
        eventually(PATIENCE, "it is told", || {
            readiness(api).matches("was deleted, moved or replaced while it was in use").count()
                == 2
        });
        restore(&file);
        eventually(PATIENCE, "votes count again", || http::get(api, "/api/ihop").status == 200);
        assert_eq!(http::get(api, "/api/ihop").text(), "3", "{loss}");
    }
}

#[test]
fn after_a_file_was_deleted_a_restart_goes_on_with_a_new_one() {
    let (server, api, file) = with_file();
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
    fs::remove_file(&file).expect("it is there");
    eventually(PATIENCE, "it is told", || {
        readiness(api).contains("restart to go on with what is there")
    });
    assert_eq!(http::get(api, "/api/ihop").status, 503);
    server.terminate();
    assert!(server.wait(PATIENCE).success());

    let server = on_file(&file).spawn();
    let api = server.address("api");
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
}

#[test]
fn two_processes_on_one_file_count_every_vote() {
    let home = Program::new("/bin/true");
    let file = home.home().join("new/yelb.db");
    // Both make it, at once.
    let servers = [on_file(&file).spawn(), on_file(&file).spawn()];
    let apis = servers.each_ref().map(|server| server.address("api"));
    apis.into_iter().for_each(await_ready);
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for number in 0..40 {
                    let key = format!("{client}-{number}");
                    let key = [("Idempotency-Key", &*key)];
                    let headers = if number % 2 == 0 { &key[..] } else { &[] };
                    let api = apis[client % 2];
                    let vote = http::request(api, "GET", "/api/ihop", headers, b"");
                    assert_eq!(vote.status, 200, "{}", vote.text());
                    assert_eq!(http::get(api, "/api/pageviews").status, 200);
                }
            });
        }
    });
    assert_eq!(http::get(apis[0], "/api/ihop").text(), "321");
    assert_eq!(http::get(apis[1], "/api/ihop").text(), "322");
    assert_eq!(http::get(apis[1], "/api/pageviews").text(), "321");
}

/// The file is locked for longer than a vote waits, and then for a shorter time.
#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_keeps_the_file_locked_votes_wait_and_none_is_counted_twice() {
    let (server, api, file) = with_file();
    let vote = |key| http::request(api, "GET", "/api/ihop", &[("Idempotency-Key", key)], b"");
    let other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await;
    let mut other = other.expect("it can be opened");
    let lock = sqlx::raw_sql("begin exclusive").execute(&mut other).await;
    lock.expect("the app server does nothing");
    for key in ["first", "second"] {
        let refused = vote(key);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.text().contains("It was not counted."), "{refused:?}");
        assert_eq!(http::get(api, "/api/getvotes").status, 200);
    }
    let reason = "cannot count votes: database is locked";
    server.wait_for_line(|line| line.contains(reason), PATIENCE);

    let mut waiting = Raw::connect(api);
    waiting.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\nIdempotency-Key: first\r\n\r\n");
    // Nothing tells that it waits. If it were not there yet, it would be counted all the same.
    thread::sleep(Duration::from_millis(300));
    let unlock = sqlx::raw_sql("rollback").execute(&mut other).await;
    unlock.expect("it is locked by this connection");
    assert_eq!(waiting.read_response().text(), "1");
    for (key, count) in [("first", "1"), ("second", "2"), ("first", "1"), ("third", "3")] {
        assert_eq!(vote(key).text(), count);
    }
}
