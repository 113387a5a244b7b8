//! A password that is rotated works without a restart: its file is read again at each login.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually, http};

use crate::{await_ready, bare};

/// Both passwords are in files of the program's home.
const FILES: &str = "YELB_DB_PASSWORD_FILE=votes, REDIS_PASSWORD_FILE=views";

/// Both stores, each with a user whose password is `first`, and an app server that reads the passwords from [`FILES`].
fn with_password_files() -> (Postgres, Redis, Program) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.sql("postgres", "create role voter login password 'first'");
    postgres.sql("postgres", "create database ballots owner voter");
    redis.cli(&["acl", "setuser", "viewer", "on", ">first", "~*", "+@all"]);
    let program = bare()
        .env("DATABASE_URL", format!("postgres://voter@127.0.0.1:{}/ballots", postgres.port()))
        .env("REDIS_URL", format!("redis://viewer@127.0.0.1:{}", redis.port()))
        .envs(FILES);
    (postgres, redis, program)
}

#[test]
fn a_rotated_password_works_without_a_restart() {
    let (postgres, redis, program) = with_password_files();
    for file in ["votes", "views"] {
        fs::write(program.home().join(file), "first\n").expect("a program's home can be written");
    }
    let server = program.spawn();
    await_ready(server.address("api"));
    counts(&server);

    // The old password, whose sessions end, is refused until the files have the new one.
    postgres.sql("postgres", "alter role voter password 'second'");
    end_sessions(&postgres);
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

/// Puts a password into the folder `secret` as Kubernetes does: `..data` leads to a folder of its own for each version.
fn publish(secret: &Path, password: &str) {
    let version = secret.join(password);
    fs::create_dir_all(&version).expect("a program's home can be written");
    fs::write(version.join("votes"), password).expect("a program's home can be written");
    symlink(password, secret.join("..next")).expect("it is not there");
    fs::rename(secret.join("..next"), secret.join("..data")).expect("it is there");
}

#[test]
fn a_password_that_kubernetes_replaces_by_a_link_works_without_a_restart() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "create role voter login password 'first'");
    postgres.sql("postgres", "create database ballots owner voter");
    let program = bare()
        .env("DATABASE_URL", format!("postgres://voter@127.0.0.1:{}/ballots", postgres.port()))
        .env("REDIS_URL", "sqlite:views.db")
        .env("YELB_DB_PASSWORD_FILE", "secret/votes");
    let secret = program.home().join("secret");
    publish(&secret, "first");
    symlink("..data/votes", secret.join("votes")).expect("it is not there");
    let server = program.spawn();
    counts(&server);

    publish(&secret, "second");
    postgres.sql("postgres", "alter role voter password 'second'");
    end_sessions(&postgres);
    counts(&server);
}

#[test]
fn a_password_file_that_is_gone_or_empty_is_told_until_it_is_back() {
    let (postgres, redis, program) = with_password_files();
    let files = ["votes", "views"].map(|file| program.home().join(file));
    let write = |password| {
        for file in &files {
            fs::write(file, password).expect("a program's home can be written");
        }
    };
    write("first");
    let server = program.spawn();
    counts(&server);
    let tells = |reasons: [&str; 2]| {
        eventually(PATIENCE, &format!("{reasons:?} are told"), || {
            let readiness = http::get(server.address("api"), "/readyz").json();
            let dependencies = [0, 1].map(|place| readiness["dependencies"][place].to_string());
            dependencies.iter().zip(reasons).all(|(told, reason)| told.contains(reason))
        });
    };

    for file in &files {
        fs::remove_file(file).expect("it is there");
    }
    end_sessions(&postgres);
    redis.cli(&["client", "kill", "user", "viewer"]);
    tells(["the password file votes: No such", "the password file views: No such"]);
    write("");
    tells(["password authentication failed", "Password authentication failed"]);
    write("first");
    counts(&server);
}

fn end_sessions(postgres: &Postgres) {
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'voter'";
    postgres.sql("postgres", end);
}

/// Waits until a vote and a page view are counted.
#[track_caller]
fn counts(server: &Running) {
    let api = server.address("api");
    for path in ["/api/ihop", "/api/pageviews"] {
        eventually(PATIENCE, &format!("{path} is counted"), || http::get(api, path).status == 200);
    }
}
