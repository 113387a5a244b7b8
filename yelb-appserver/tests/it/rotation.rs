//! A password that is rotated works without a restart: its file is read again at each login.

use std::fs;

use testbed::{PATIENCE, Postgres, Redis, Running, eventually, http};

use crate::{await_ready, bare};

/// Both passwords are in files of the program's home.
const FILES: &str = "YELB_DB_PASSWORD_FILE=votes, REDIS_PASSWORD_FILE=views";

#[test]
fn a_rotated_password_works_without_a_restart() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.sql("postgres", "create role voter login password 'first'");
    postgres.sql("postgres", "create database ballots owner voter");
    redis.cli(&["acl", "setuser", "viewer", "on", ">first", "~*", "+@all"]);

    let program = bare()
        .env("DATABASE_URL", format!("postgres://voter@127.0.0.1:{}/ballots", postgres.port()))
        .env("REDIS_URL", format!("redis://viewer@127.0.0.1:{}", redis.port()))
        .envs(FILES);
    for file in ["votes", "views"] {
        fs::write(program.home().join(file), "first\n").expect("a program's home can be written");
    }
    let server = program.spawn();
    await_ready(server.address("api"));
    counts(&server);

    // The old password, whose sessions end, is refused until the files have the new one.
    postgres.sql("postgres", "alter role voter password 'second'");
    let sessions = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'voter'";
    postgres.sql("postgres", sessions);
    redis.cli(&["acl", "setuser", "viewer", "resetpass", ">second"]);
    redis.cli(&["client", "kill", "user", "viewer"]);
    eventually(PATIENCE, "both stores refuse the old password", || {
        let readiness = http::get(server.address("api"), "/readyz").text().to_owned();
        readiness.matches("assword authentication failed").count() == 2
    });
    for file in ["votes", "views"] {
        fs::write(server.home().join(file), "second\n").expect("a program's home can be written");
    }
    counts(&server);
}

#[test]
fn a_password_file_that_is_gone_is_named_where_the_store_is_down() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "create role voter login password 'first'");
    let program = bare()
        .env("DATABASE_URL", format!("postgres://voter@127.0.0.1:{}/postgres", postgres.port()))
        .env("REDIS_URL", "sqlite:views.db")
        .env("YELB_DB_PASSWORD_FILE", "votes");
    let file = program.home().join("votes");
    fs::write(&file, "first").expect("a program's home can be written");
    let server = program.spawn();
    eventually(PATIENCE, "the votes are reached", || {
        http::get(server.address("api"), "/readyz").text().contains("\"up\"")
    });
    fs::remove_file(&file).expect("it can be removed");
    let sessions = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'voter'";
    postgres.sql("postgres", sessions);
    eventually(PATIENCE, "the file is named", || {
        http::get(server.address("api"), "/readyz")
            .text()
            .contains("the password file votes: No such")
    });
}

/// Waits until a vote and a page view are counted.
#[track_caller]
fn counts(server: &Running) {
    let api = server.address("api");
    for path in ["/api/ihop", "/api/pageviews"] {
        eventually(PATIENCE, &format!("{path} is counted"), || http::get(api, path).status == 200);
    }
}
