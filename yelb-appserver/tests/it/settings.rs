//! Settings that cannot be used end the program with one line; all others reach what they name.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::Parser;
use testbed::{PATIENCE, Postgres, Program, Redis, SECRET, eventually, http};
use yelb_appserver::config::{ALIASES, Config};
use yelb_db::Location;
use yelb_service::settings::try_parse;

use crate::{appserver, await_ready, bare};

/// How soon a person who made a mistake is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A secret that would have to be escaped in a URL, and the file that every program here finds it in, in its directory.
const PASSWORD: &str = "hunter2@'";
const PASSWORD_FILE: &str = "password";

/// Variables that cannot be used, and how the line begins that says so.
const NONSENSE: &str = "
    DATABASE_URL=mysql://yelb:hunter2@db/yelb               => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got mysql://
    DATABASE_URL=postgres://                                => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got a URL without a host
    DATABASE_URL=postgres:///yelb                           => DATABASE_URL: expected postgres://
    DATABASE_URL=postgres://yelb:hunter2@db                 => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got a URL without a database
    DATABASE_URL=postgres://yelb:hunter2@db:0/yelb          => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got port 0
    DATABASE_URL=postgres://yelb@db/yelb#hunter2            => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got a URL with #, which a password has as %23
    DATABASE_URL=postgres://yelb:hunter2@db:port/yelb       => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got a URL that cannot be read: invalid port
    DATABASE_URL=postgres://yelb:hunter2@db:99999/yelb      => DATABASE_URL: expected postgres://
    DATABASE_URL=postgres://db/yelb?sslmode=hunter2         => DATABASE_URL: expected postgres://
    DATABASE_URL=hunter2                                    => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got something else, which is not shown
    DATABASE_URL=hunter2:5432                               => DATABASE_URL: expected postgres://
    DATABASE_URL=sqlite:/dev/null/yelb.db                   => DATABASE_URL: cannot open or make sqlite:/dev/null/yelb.db
    DATABASE_URL=sqlite:                                    => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got sqlite: without a file
    REDIS_URL=sqlite://                                     => REDIS_URL: expected redis://host:6379, rediss://host:6379 (TLS), sqlite:FILE or dynamodb://TABLE, got sqlite: without
    YELB_STOP_WAIT=99999999999999                           => YELB_STOP_WAIT: expected a number of whole seconds
    DATABASE_URL=sqlite:/                                   => DATABASE_URL: cannot open or make sqlite:/
    REDIS_URL=http://:hunter2@redis                         => REDIS_URL: expected redis://host:6379, rediss://host:6379 (TLS), sqlite:FILE or dynamodb://TABLE, got http://
    REDIS_URL=redis://                                      => REDIS_URL: expected redis://
    REDIS_URL=redis://:hunter2@redis:port                   => REDIS_URL: expected redis://
    REDIS_URL=redis://:hunter2@redis/yelb                   => REDIS_URL: expected redis://
    REDIS_URL=redis://redis?timeout=hunter2                 => REDIS_URL: expected redis://host:6379, rediss://host:6379 (TLS), sqlite:FILE or dynamodb://TABLE, got a URL with a parameter that is not protocol
    REDIS_URL=redis://redis:0                               => REDIS_URL: expected redis://host:6379, rediss://host:6379 (TLS), sqlite:FILE or dynamodb://TABLE, got port 0
    REDIS_URL=hunter2                                       => REDIS_URL: expected redis://
    PORT=http                                               => PORT: expected a port from 0 to 65535, got \"http\"
    PORT=65536                                              => PORT: expected a port from 0 to 65535, got \"65536\"
    PORT=-1                                                 => PORT: expected a port from 0 to 65535, got \"-1\"
    YELB_BIND=everywhere                                    => YELB_BIND: expected an IP address such as 127.0.0.1, 0.0.0.0 or ::, got \"everywhere\"
    YELB_BIND=192.0.2.1                                     => YELB_BIND: cannot listen on 192.0.2.1:0 (Cannot assign requested address (os error 99)); set an address of this host, or 0.0.0.0 or :: for all of them
    YELB_ADMIN_PORT=on                                      => YELB_ADMIN_PORT: expected a port from 0 to 65535, or off, got \"on\"
    YELB_STOP_WAIT=soon                                     => YELB_STOP_WAIT: expected a number of whole seconds, at most 65535, got \"soon\"
    YELB_STOP_WAIT=-3                                       => YELB_STOP_WAIT: expected a number of whole seconds
    YELB_STOP_WAIT=1.5                                      => YELB_STOP_WAIT: expected a number of whole seconds
    SEARCH_DOMAIN=example local!                            => SEARCH_DOMAIN: expected a DNS domain such as example.local, got \"example local!\"
    YELB_KEY_HOURS=23                                       => YELB_KEY_HOURS: expected a number of whole hours from 24 to 8760, got \"23\"
    YELB_MIGRATE=maybe                                      => YELB_MIGRATE: expected auto or never, got \"maybe\"
    RACK_ENV=staging                                        => RACK_ENV: expected one of production, test, development, custom, got \"staging\"
    RUST_LOG=yelb=loud                                      => RUST_LOG: expected a level
    RUST_LOG=WARNING                                        => RUST_LOG: expected a level (off, error, warn, info, debug, trace) or a list
    RUST_LOG=info,yelb_db                                   => RUST_LOG: expected a level

    YELB_DB_SERVER_ENDPOINT=yelb db                         => YELB_DB_SERVER_ENDPOINT: expected a host name or an IP address, got \"yelb db\"
    DB_HOST=postgres://yelb-db                              => DB_HOST: expected a host name or an IP address
    DB_HOST=db, YELB_DB_SERVER_PORT=x                       => YELB_DB_SERVER_PORT: expected a port from 0 to 65535
    DB_HOST=db, YELB_DB_PASSWORD_FILE=nowhere               => YELB_DB_PASSWORD_FILE: expected a readable text file (No such file or directory (os error 2)), got \"nowhere\"
    REDIS_SERVER_ENDPOINT=redis:6379                        => REDIS_SERVER_ENDPOINT: expected a host name or an IP address, got \"redis:6379\"
    YELB_REDIS_SERVER_ENDPOINT=/redis                       => YELB_REDIS_SERVER_ENDPOINT: expected a host name or an IP address
    CACHE_HOST=redis@                                       => CACHE_HOST: expected a host name or an IP address
    CACHE_HOST=redis, REDIS_SERVER_PORT=x                   => REDIS_SERVER_PORT: expected a port from 0 to 65535
    CACHE_HOST=redis, REDIS_TLS=maybe                       => REDIS_TLS: expected true or false, got \"maybe\"
    CACHE_HOST=redis, REDIS_PASSWORD_FILE=nowhere           => REDIS_PASSWORD_FILE: expected a readable text file
    RACK_ENV=custom, CACHE_HOST=redis                       => YELB_DB_SERVER_ENDPOINT: must be set, because RACK_ENV is custom
    RACK_ENV=custom, DB_HOST=db                             => REDIS_SERVER_ENDPOINT: must be set, because RACK_ENV is custom

    DATABASE_URL=postgres://u:hunter2@db/yelb, DB_HOST=db                => DATABASE_URL: conflicts with DB_HOST; set only one of them
    DATABASE_URL=postgres://db/yelb, YELB_DB_NAME=yelb                   => DATABASE_URL: conflicts with YELB_DB_NAME; set only one of them
    DATABASE_URL=postgres://u:hunter2@db/yelb, YELB_DB_PASSWORD=hunter2  => YELB_DB_PASSWORD: conflicts with the password in DATABASE_URL; set only one of them
    DB_HOST=db, YELB_DB_PASSWORD=hunter2, YELB_DB_PASSWORD_FILE=password => YELB_DB_PASSWORD_FILE: conflicts with YELB_DB_PASSWORD; set only one of them
    YELB_DB_SERVER_ENDPOINT=one, DB_HOST=other                           => DB_HOST: conflicts with YELB_DB_SERVER_ENDPOINT; set only one of them
    REDIS_URL=redis://:hunter2@redis, REDIS_SERVER_ENDPOINT=redis        => REDIS_URL: conflicts with REDIS_SERVER_ENDPOINT; set only one of them
    REDIS_URL=redis://:hunter2@redis, REDIS_PASSWORD=hunter2             => REDIS_PASSWORD: conflicts with the password in REDIS_URL; set only one of them
    REDIS_URL=redis://redis, REDIS_TLS=true                              => REDIS_URL: conflicts with REDIS_TLS; set only one of them
    CACHE_HOST=a, REDIS_PASSWORD=hunter2, REDIS_PASSWORD_FILE=password   => REDIS_PASSWORD_FILE: conflicts with REDIS_PASSWORD; set only one of them
    REDIS_SERVER_ENDPOINT=one, CACHE_HOST=other                          => CACHE_HOST: conflicts with REDIS_SERVER_ENDPOINT; set only one of them

    DATABASE_URL=sqlite:yelb.db, YELB_DB_PASSWORD=hunter2   => YELB_DB_PASSWORD: has no effect without a postgres:// URL
    DATABASE_URL=dynamodb://                                => DATABASE_URL: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got no name of a table: a table's name has 3 to 255
    DATABASE_URL=dynamodb://yelb                            => AWS_REGION: must be set, because DATABASE_URL is a table of DynamoDB
    YELB_DDB_CACHE=yelb, AWS_REGION=                        => AWS_REGION: must be set, because YELB_DDB_CACHE is a table of DynamoDB
    DATABASE_URL=dynamodb://ab, AWS_REGION=eu-west-1        => DATABASE_URL: expected postgres://
    REDIS_URL=dynamodb:yelb, AWS_REGION=eu-west-1           => REDIS_URL: expected redis://
    YELB_DDB_RESTAURANTS=a/b, AWS_REGION=eu-west-1          => YELB_DDB_RESTAURANTS: expected postgres://user@host:5432/database, sqlite:FILE or dynamodb://TABLE, got no name of a table
    YELB_DDB_CACHE=yelb, AWS_REGION=eu west                 => AWS_REGION: expected a region such as eu-west-1, got \"eu west\"
    YELB_DDB_CACHE=yelb, AWS_DEFAULT_REGION=.               => AWS_DEFAULT_REGION: expected a region such as eu-west-1
    DATABASE_URL=dynamodb://yelb, AWS_REGION=x, AWS_ENDPOINT_URL=db:1 => AWS_ENDPOINT_URL: expected a URL such as http://host:8000
    DATABASE_URL=dynamodb://yelb, AWS_REGION=x, AWS_ENDPOINT_URL_DYNAMODB=ftp://db => AWS_ENDPOINT_URL_DYNAMODB: expected a URL such as http://host:8000
    DATABASE_URL=dynamodb://yelb, AWS_REGION=x, AWS_SECRET_ACCESS_KEY=hunter2 => AWS_SECRET_ACCESS_KEY: has no effect without AWS_ACCESS_KEY_ID
    DATABASE_URL=dynamodb://yelb, AWS_REGION=x, YELB_DB_PASSWORD=hunter2 => YELB_DB_PASSWORD: has no effect without a postgres:// URL
    DATABASE_URL=sqlite:yelb.db, YELB_DDB_RESTAURANTS=yelb, AWS_REGION=x => YELB_DDB_RESTAURANTS: conflicts with DATABASE_URL; set only one of them
    DB_HOST=db, YELB_DDB_RESTAURANTS=yelb, AWS_REGION=x     => YELB_DDB_RESTAURANTS: conflicts with DB_HOST; set only one of them
    REDIS_URL=redis://redis, YELB_DDB_CACHE=yelb, AWS_REGION=x => YELB_DDB_CACHE: conflicts with REDIS_URL; set only one of them
    CACHE_HOST=redis, YELB_DDB_CACHE=yelb, AWS_REGION=x     => YELB_DDB_CACHE: conflicts with CACHE_HOST; set only one of them
";

#[test]
fn a_setting_that_cannot_be_used_is_named_in_one_line() {
    for row in NONSENSE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (variables, line) = row.split_once("=>").unwrap();
        with(variables).refuses(line.trim());
    }
    // By then the log has begun.
    let views = with("REDIS_URL=sqlite:/dev/null/views.db, RUST_LOG=error");
    views.refuses("REDIS_URL: cannot open or make sqlite:/dev/null/views.db");
}

#[test]
fn a_setting_of_a_store_that_no_setting_names_is_refused() {
    for (variables, setting) in [
        (
            "YELB_DB_PASSWORD=hunter2",
            "YELB_DB_PASSWORD: has no effect without DATABASE_URL or a host",
        ),
        (
            "YELB_DB_SERVER_PORT=5432",
            "YELB_DB_SERVER_PORT: has no effect without DATABASE_URL or a host",
        ),
        (
            "DATABASE_URL=sqlite:yelb.db, REDIS_PASSWORD=hunter2",
            "REDIS_PASSWORD: has no effect without REDIS_URL or a host",
        ),
        (
            "DB_HOST=db, REDIS_SERVER_PORT=6379",
            "REDIS_SERVER_PORT: has no effect without REDIS_URL or a host",
        ),
    ] {
        bare().envs(variables).refuses(setting);
    }
}

#[test]
fn a_variable_that_is_not_text_is_named() {
    let nonsense = OsStr::from_bytes(b"\xff");
    for name in ["DATABASE_URL", "PORT", "RUST_LOG"] {
        appserver().env(name, nonsense).refuses(&format!("{name}: expected UTF-8 text"));
    }
}

#[test]
fn a_flag_that_cannot_be_used_is_told_as_the_flag() {
    for (flag, value) in [
        ("--database-url", "mysql://yelb:hunter2@db"),
        ("--redis-url", "memcached://redis"),
        ("--port", "http"),
        ("--bind", "everywhere"),
        ("--admin-port", "on"),
        ("--stop-wait", "soon"),
        ("--search-domain", "example local!"),
        ("--migrate", "maybe"),
        ("--log", "inof"),
        ("--db-host", "yelb db"),
        ("--redis-port", "x"),
    ] {
        bare().args([flag, value]).refuses(&format!("{flag}: expected"));
    }
    let both = appserver().args(["--db-host", "db"]);
    both.refuses("DATABASE_URL: conflicts with --db-host; set only one of them");
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let occupant = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupant.local_addr().unwrap().port().to_string();
    for setting in ["PORT", "YELB_ADMIN_PORT"] {
        let program = appserver().env(setting, &port);
        program.refuses(&format!(
            "{setting}: cannot listen on 127.0.0.1:{port} (Address already in use (os error 98)); stop the process that has the port, \
             or set another"
        ));
    }
}

#[test]
fn a_flag_that_does_not_exist_is_refused() {
    for arguments in [&["--no-such-flag"][..], &["--port"], &["no-such-command"], &["migrate", "x"]]
    {
        let output = appserver().args(arguments).run_to_end(AT_ONCE);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, "", "{output:?}");
        assert!(output.stderr.contains(arguments.last().unwrap()), "{output:?}");
    }
}

#[test]
fn help_names_every_setting_and_tells_no_secret() {
    let output = appserver()
        .env("DATABASE_URL", "postgres://yelb:hunter2@db/yelb")
        .env("REDIS_URL", "redis://:hunter2@redis")
        .env("YELB_DB_PASSWORD", SECRET)
        .arg("--help")
        .run_to_end(AT_ONCE);
    assert!(output.status.success(), "{output:?}");
    for name in [
        "DATABASE_URL",
        "YELB_DB_SERVER_ENDPOINT",
        "DB_HOST",
        "YELB_DB_SERVER_PORT",
        "YELB_DB_NAME",
        "YELB_DB_USERNAME",
        "YELB_DB_PASSWORD",
        "YELB_DB_PASSWORD_FILE",
        "REDIS_URL",
        "REDIS_SERVER_ENDPOINT",
        "YELB_REDIS_SERVER_ENDPOINT",
        "CACHE_HOST",
        "REDIS_SERVER_PORT",
        "REDIS_PASSWORD",
        "REDIS_PASSWORD_FILE",
        "REDIS_TLS",
        "RACK_ENV",
        "SEARCH_DOMAIN",
        "PORT",
        "YELB_BIND",
        "YELB_ADMIN_PORT",
        "YELB_STOP_WAIT",
        "YELB_MIGRATE",
        "RUST_LOG",
        "YELB_DDB_RESTAURANTS",
        "YELB_DDB_CACHE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL_DYNAMODB",
    ] {
        assert!(output.stdout.contains(name), "{name} is missing in:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains(SECRET), "{}", output.stdout);
}

#[test]
fn every_way_to_say_where_the_votes_are_reaches_them() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    postgres.sql("postgres", "create role voter login password 'hunter2@'''");
    postgres.sql("postgres", "create database ballots owner voter");
    postgres.sql("postgres", "create database \"%41\"");
    let port = postgres.port();
    let url = postgres.url("yelbdatabase");
    // A short name that is an address once the domain is added, so that no name server is asked.
    let short = url.replace("127.0.0.1", "127");
    let voter = "postgres://voter";
    let ballots = format!("@127.0.0.1:{port}/ballots");
    for (variables, database) in [
        (format!("DATABASE_URL={url}"), "yelbdatabase"),
        (format!("YELB_DB_SERVER_ENDPOINT=127.0.0.1, YELB_DB_SERVER_PORT={port}"), "yelbdatabase"),
        (format!("DB_HOST=localhost, YELB_DB_SERVER_PORT={port}"), "yelbdatabase"),
        (
            format!("RACK_ENV=development, YELB_DB_SERVER_PORT={port}, REDIS_URL=sqlite:views.db"),
            "yelbdatabase",
        ),
        (format!("DATABASE_URL={short}, SEARCH_DOMAIN=0.0.1"), "yelbdatabase"),
        (format!("DATABASE_URL={voter}:hunter2%40%27{ballots}"), "ballots"),
        (format!("DATABASE_URL={voter}{ballots}, YELB_DB_PASSWORD={PASSWORD}"), "ballots"),
        (
            format!("DATABASE_URL={voter}{ballots}, YELB_DB_PASSWORD_FILE={PASSWORD_FILE}"),
            "ballots",
        ),
        (
            format!(
                "DB_HOST=127.0.0.1, YELB_DB_SERVER_PORT={port}, YELB_DB_NAME=ballots, \
                 YELB_DB_USERNAME=voter, YELB_DB_PASSWORD_FILE={PASSWORD_FILE}"
            ),
            "ballots",
        ),
        // A name is taken as it is. (In a URL, as psql has it, the sign is escaped.)
        (format!("DB_HOST=127.0.0.1, YELB_DB_SERVER_PORT={port}, YELB_DB_NAME=%41"), "%2541"),
    ] {
        let votes = || {
            let sum = "select coalesce(sum(count), 0) from restaurants";
            // The first to come makes the table.
            let sum = postgres.try_sql(database, sum, PATIENCE).unwrap_or_default();
            sum.parse().unwrap_or(0)
        };
        let before: u64 = votes();
        let vote = answer_with(&variables, "/api/chipotle");
        assert_eq!((vote, votes()), ((before + 1).to_string(), before + 1), "{variables}");
    }
}

#[test]
fn every_way_to_say_where_the_page_views_are_reaches_them() {
    let (open, guarded) = (Redis::start(), Redis::start_with(&["--requirepass", PASSWORD]));
    let (port, guarded_port) = (open.port(), guarded.port());
    let guarded_host = format!("CACHE_HOST=127.0.0.1, REDIS_SERVER_PORT={guarded_port}");
    let guarded_url = format!("REDIS_URL=redis://127.0.0.1:{guarded_port}");
    let sqlite = "DATABASE_URL=sqlite::memory:";
    for (variables, redis) in [
        (format!("REDIS_URL=redis://127.0.0.1:{port}"), &open),
        (format!("REDIS_SERVER_ENDPOINT=127.0.0.1, REDIS_SERVER_PORT={port}"), &open),
        (format!("YELB_REDIS_SERVER_ENDPOINT=localhost, REDIS_SERVER_PORT={port}"), &open),
        (format!("CACHE_HOST=127.0.0.1, REDIS_SERVER_PORT={port}, REDIS_TLS=false"), &open),
        (format!("RACK_ENV=development, REDIS_SERVER_PORT={port}, {sqlite}"), &open),
        (format!("REDIS_URL=redis://127:{port}, SEARCH_DOMAIN=0.0.1"), &open),
        (format!("REDIS_URL=redis://:hunter2%40%27@127.0.0.1:{guarded_port}"), &guarded),
        (format!("{guarded_url}, REDIS_PASSWORD={PASSWORD}"), &guarded),
        (format!("{guarded_url}, REDIS_PASSWORD_FILE={PASSWORD_FILE}"), &guarded),
        (format!("{guarded_host}, REDIS_PASSWORD={PASSWORD}"), &guarded),
        (format!("{guarded_host}, REDIS_PASSWORD_FILE={PASSWORD_FILE}"), &guarded),
    ] {
        let before: u64 = redis.cli(&["get", "pageviews"]).parse().unwrap_or(0);
        let view = answer_with(&variables, "/api/pageviews");
        let after = (before + 1).to_string();
        assert_eq!((view, redis.cli(&["get", "pageviews"])), (after.clone(), after), "{variables}");
    }
}

#[test]
fn a_flag_wins_over_its_variable() {
    let redis = Redis::start();
    let server = appserver()
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env("DATABASE_URL", "nonsense")
        .env("YELB_ADMIN_PORT", "nonsense")
        .args(["--redis-url", &redis.url(), "--database-url", "sqlite::memory:"])
        .args(["--admin-port", "0"])
        .spawn();
    let api = server.address("api");
    eventually(PATIENCE, "page views are counted", || {
        http::get(api, "/api/pageviews").status == 200
    });
    assert_ne!(redis.cli(&["get", "pageviews"]), "");
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
    assert_eq!(http::get(server.address("admin"), "/metrics").status, 200);
}

#[test]
fn a_store_that_no_setting_names_is_refused_in_one_line_that_lists_the_settings() {
    let table = "YELB_DDB_RESTAURANTS=yelb, AWS_REGION=eu-west-1";
    let (no_votes, no_views) =
        ("DATABASE_URL: the votes have no store", "REDIS_URL: the page views have no store");
    for (variables, begins, names) in [
        ("RUST_LOG=info", no_votes, [&VOTES_AT[..], &VIEWS_AT].concat()),
        ("REDIS_URL=redis://redis", no_votes, VOTES_AT.to_vec()),
        ("DB_HOST=db", no_views, VIEWS_AT.to_vec()),
        (table, no_views, VIEWS_AT[..5].to_vec()),
        (&format!("RACK_ENV=production, {table}"), no_views, VIEWS_AT[..5].to_vec()),
    ] {
        bare().envs(variables).refuses(begins);
        let said = bare().envs(variables).run_to_end(AT_ONCE).stderr;
        assert!(names.iter().all(|name| said.contains(name)), "{variables}: {said}");
    }
}

#[test]
fn with_votes_in_a_file_the_page_views_are_in_it_too() {
    for profile in ["", "RACK_ENV=production, ", "RACK_ENV=custom, "] {
        let server = bare().envs(&format!("{profile}DATABASE_URL=sqlite:yelb.db")).spawn();
        let api = server.address("api");
        assert_eq!(http::get(api, "/api/ihop").text(), "1");
        assert_eq!(http::get(api, "/api/pageviews").text(), "1");
        assert!(server.home().join("yelb.db").is_file());
    }
}

#[test]
fn a_redis_that_does_not_speak_tls_or_wants_another_password_is_down_and_the_reason_told() {
    let (redis, guarded) = (Redis::start(), Redis::start_with(&["--requirepass", SECRET]));
    let (redis, guarded) = (redis.port(), guarded.port());
    for variables in [
        format!("CACHE_HOST=127.0.0.1, REDIS_SERVER_PORT={redis}, REDIS_TLS=true"),
        format!("CACHE_HOST=127.0.0.1, REDIS_SERVER_PORT={guarded}"),
        format!("CACHE_HOST=127.0.0.1, REDIS_SERVER_PORT={guarded}, REDIS_PASSWORD=not-{SECRET}"),
    ] {
        let server = with(&variables).spawn();
        let api = server.address("api");
        eventually(PATIENCE, "the page views are down", || {
            let readiness = http::get(api, "/readyz").json();
            let views = &readiness["dependencies"][1];
            assert!(!readiness.to_string().contains(SECRET), "{readiness}");
            views["name"] == "page-views" && views["state"] == "down" && views["reason"].is_string()
        });
        assert_eq!(http::get(api, "/api/getstats").status, 503);
        assert_eq!(http::get(api, "/api/ihop").text(), "1");
        server.kill();
        assert!(!server.stderr().contains(SECRET), "{server:?}");
    }
}

#[test]
fn a_sentinel_in_the_place_of_redis_is_told_from_one() {
    let sentinel = Redis::start_sentinel();
    let server = bare().env("DATABASE_URL", "sqlite:votes.db").env("REDIS_URL", sentinel.url());
    let server = server.spawn();
    let api = server.address("api");
    eventually(PATIENCE, "it says what is wrong", || {
        let readiness = http::get(api, "/readyz").json();
        let reason = readiness["dependencies"][1]["reason"].as_str().unwrap_or_default();
        reason.contains("this is a Sentinel, which keeps no data: name the Redis that it watches")
    });
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
}

#[test]
fn a_login_that_is_refused_is_down_and_tells_no_secret() {
    let postgres = Postgres::start();
    let url = postgres.url("postgres").replace("postgres_password", SECRET);
    let server = bare()
        .env("DATABASE_URL", url)
        .env("REDIS_URL", "sqlite:views.db")
        .env("RUST_LOG", "debug")
        .spawn();
    let api = server.address("api");
    eventually(PATIENCE, "the votes are down", || {
        http::get(api, "/readyz").text().contains("password authentication failed")
    });
    assert_eq!(http::get(api, "/api/ihop").status, 503);
    assert!(!http::get(api, "/readyz").text().contains(SECRET));
    server.kill();
    assert!(!server.stderr().contains(SECRET), "{server:?}");
}

#[test]
fn the_originals_profiles_name_the_originals_hosts() {
    for (profile, votes, page_views) in [
        ("production", "yelb-db", "redis-server"),
        ("test", "yelb-db", "redis-server"),
        ("development", "localhost", "localhost"),
    ] {
        let (votes_at, views_at) = stores(&[("RACK_ENV", profile)]);
        assert!(votes_at.contains(votes), "{profile}: {votes_at}");
        assert!(views_at.contains(&format!("{page_views}:6379")), "{profile}: {views_at}");
    }
}

#[test]
fn a_setting_wins_over_the_profile_for_its_own_store_alone() {
    const PROFILE: (&str, &str) = ("RACK_ENV", "production");
    let postgres = ("DATABASE_URL", "postgres://u@elsewhere/yelb");
    let (votes, views) = stores(&[PROFILE, postgres]);
    assert!(votes.contains("elsewhere") && views.contains("redis-server:6379"), "{votes} {views}");

    let (votes, views) = stores(&[PROFILE, ("REDIS_URL", "redis://elsewhere")]);
    assert!(votes.contains("yelb-db:5432") && views.contains("elsewhere:6379"), "{votes} {views}");

    let (_, views) = stores(&[PROFILE, ("DATABASE_URL", "sqlite:yelb.db")]);
    assert!(views.contains("yelb.db"), "{views}");
    let file = ("DATABASE_URL", "sqlite:yelb.db");
    for (setting, expected) in [
        (("REDIS_SERVER_PORT", "6380"), "redis-server:6380"),
        (("REDIS_PASSWORD", SECRET), "redis-server:6379"),
        (("CACHE_HOST", "elsewhere"), "elsewhere:6379"),
    ] {
        let (_, views) = stores(&[PROFILE, file, setting]);
        assert!(views.contains(expected), "{setting:?}: {views}");
    }
}

/// The app server's settings alone.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

/// Where the stores are by these settings.
pub(crate) fn location(settings: &[(&str, &str)]) -> Location {
    let environment = settings.iter().copied().collect();
    let (cli, names) = try_parse::<Cli>(&environment, ALIASES, ["yelb".into()]).expect("usable");
    cli.config.stores.location(&names, &environment, None).expect("usable")
}

/// The same, for people.
fn stores(settings: &[(&str, &str)]) -> (String, String) {
    let stores = location(settings);
    (format!("{:?}", stores.votes), format!("{:?}", stores.views))
}

#[test]
fn an_ipv6_address_is_a_host_with_and_without_brackets() {
    for (votes, views) in [
        (("DATABASE_URL", "postgres://u@[::1]:5433/yelb"), ("REDIS_URL", "redis://[::1]:6380")),
        (("DB_HOST", "::1"), ("CACHE_HOST", "::1")),
        (("DB_HOST", "[::1]"), ("CACHE_HOST", "[::1]")),
    ] {
        let (votes, views) = stores(&[votes, views]);
        // The host alone: the drivers take no brackets.
        assert!(votes.contains("(::1:543"), "{votes}");
        assert!(views.contains("(::1:63"), "{views}");
    }
}

#[test]
fn a_parameter_of_a_url_that_is_not_known_is_named_in_the_log_without_its_value() {
    let server = bare()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:1/yelb?sslmod=hunter2&sslmode=prefer")
        .env("REDIS_URL", "sqlite:views.db")
        .spawn();
    eventually(PATIENCE, "the log names it", || server.stderr().contains("\"sslmod\""));
    assert!(!server.stderr().contains("\"sslmode\"") && !server.stderr().contains(SECRET));
}

#[test]
fn nothing_that_is_printed_of_the_settings_has_a_secret() {
    let environment = [
        ("DATABASE_URL", "postgres://u:hunter2@db/yelb"),
        ("REDIS_URL", "redis://redis"),
        ("REDIS_PASSWORD", SECRET),
    ];
    let environment = environment.into_iter().collect();
    let (cli, _) = try_parse::<Cli>(&environment, ALIASES, ["yelb".into()]).expect("usable");
    assert!(!format!("{:?}", cli.config).contains(SECRET));
}

/// Settings that say where a store is.
const VOTES_AT: [&str; 5] =
    ["DATABASE_URL", "YELB_DB_SERVER_ENDPOINT", "DB_HOST", "YELB_DDB_RESTAURANTS", "RACK_ENV"];
const VIEWS_AT: [&str; 6] = [
    "REDIS_URL",
    "REDIS_SERVER_ENDPOINT",
    "YELB_REDIS_SERVER_ENDPOINT",
    "CACHE_HOST",
    "YELB_DDB_CACHE",
    "RACK_ENV",
];

/// The app server with these variables, and a password in a file, with the line end that editors leave. A store that they
/// say nothing of is in a file of its own.
fn with(variables: &str) -> Program {
    let mut program = bare();
    fs::write(program.home().join(PASSWORD_FILE), format!("{PASSWORD}\n"))
        .expect("a program's home can be written");
    let say = |names: &[&str]| {
        variables
            .split(", ")
            .any(|variable| variable.split('=').next().is_some_and(|name| names.contains(&name)))
    };
    if !say(&VOTES_AT) {
        program = program.env("DATABASE_URL", "sqlite:yelb.db");
    }
    if !say(&VIEWS_AT) {
        program = program.env("REDIS_URL", "sqlite:views.db");
    }
    program.envs(variables)
}

/// What an app server with these settings answers, once it has found its stores.
#[track_caller]
fn answer_with(variables: &str, path: &str) -> String {
    let server = with(variables).spawn();
    let api = server.address("api");
    await_ready(api);
    let mut answer = http::get(api, path);
    // Ready does not wait for Redis.
    eventually(PATIENCE, &format!("{path} is answered with {variables}"), || {
        if answer.status == 503 {
            answer = http::get(api, path);
        }
        answer.status == 200
    });
    answer.text().to_owned()
}
