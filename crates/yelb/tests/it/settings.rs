//! Settings that cannot be used end the program with one line.

use std::net::TcpListener;
use std::time::Duration;

use testbed::{Postgres, Redis, eventually, http};

use crate::{addresses, yelb};

/// How soon a person who made a mistake is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Variables that cannot be used, and how the line begins that says so. The app server's own tests have all of its.
const NONSENSE: &str = "
    PORT=http                                               => PORT: expected a port from 0 to 65535, got \"http\"
    YELB_API_PORT=65536                                     => YELB_API_PORT: expected a port from 0 to 65535, got \"65536\"
    YELB_ADMIN_PORT=on                                      => YELB_ADMIN_PORT: expected a port from 0 to 65535, or off
    YELB_BIND=everywhere                                    => YELB_BIND: expected an IP address
    YELB_BIND=192.0.2.1                                     => YELB_BIND: cannot listen on 192.0.2.1:0
    YELB_STOP_WAIT=soon                                     => YELB_STOP_WAIT: expected a number of whole seconds
    YELB_MIGRATE=maybe                                      => YELB_MIGRATE: expected auto or never
    SEARCH_DOMAIN=example local!                            => SEARCH_DOMAIN: expected a DNS domain
    RACK_ENV=staging                                        => RACK_ENV: expected one of production, test, development, custom
    RUST_LOG=yelb=loud                                      => RUST_LOG: expected a level
    DATABASE_URL=mysql://yelb:hunter2@db/yelb               => DATABASE_URL: expected postgres://
    DATABASE_URL=sqlite:/dev/null/yelb.db                   => DATABASE_URL: cannot open or make sqlite:/dev/null/yelb.db
    HOME=/dev/null                                          => DATABASE_URL: cannot open or make sqlite:/dev/null/.local/share/yelb/yelb.db
    XDG_DATA_HOME=/dev/null                                 => DATABASE_URL: cannot open or make sqlite:/dev/null/yelb/yelb.db
    HOME=                                                   => DATABASE_URL: not set, and the default is a file in the user's data folder, which is not known: neither XDG_DATA_HOME nor HOME is an absolute path; set DATABASE_URL to a file
    HOME=home, XDG_DATA_HOME=data                           => DATABASE_URL: not set, and the default is a file in the user's data folder
    REDIS_URL=http://:hunter2@redis                         => REDIS_URL: expected redis://
    REDIS_URL=sqlite:/dev/null/views.db                     => REDIS_URL: cannot open or make sqlite:/dev/null/views.db
    DATABASE_URL=postgres://u:hunter2@db/yelb, DB_HOST=db   => DATABASE_URL: conflicts with DB_HOST; set only one of them
    DB_HOST=db, YELB_DB_PASSWORD_FILE=nowhere               => YELB_DB_PASSWORD_FILE: expected a readable text file
    REDIS_PASSWORD=hunter2                                  => REDIS_PASSWORD: has no effect without REDIS_URL or a host
";

#[test]
fn a_setting_that_cannot_be_used_is_named_in_one_line() {
    for row in NONSENSE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (variables, line) = row.split_once("=>").unwrap();
        yelb().envs(variables).refuses(line.trim());
    }
}

#[test]
fn a_flag_that_cannot_be_used_is_told_as_the_flag() {
    for flag in [
        "--port",
        "--api-port",
        "--admin-port",
        "--bind",
        "--stop-wait",
        "--search-domain",
        "--database-url",
        "--redis-url",
        "--migrate",
    ] {
        yelb().args([flag, "no such thing!"]).refuses(&format!("{flag}: expected"));
    }
}

#[test]
fn a_default_that_cannot_be_used_is_said_to_be_the_default() {
    let said = yelb().env("HOME", "/dev/null").run_to_end(AT_ONCE).stderr;
    assert!(
        said.contains("that is the default; set another file, such as sqlite:yelb.db"),
        "{said}"
    );
}

#[test]
fn without_a_data_folder_it_serves_from_a_file_that_is_named() {
    let server = yelb().env("HOME", "").env("DATABASE_URL", "sqlite:yelb.db").spawn();
    assert_eq!(http::get(addresses(&server).0, "/api/ihop").text(), "1");
}

#[test]
fn a_load_has_none_of_the_servers_settings() {
    let output =
        yelb().env("DATABASE_URL", "nonsense").args(["load", "--rate", "0"]).run_to_end(AT_ONCE);
    let expected = "yelb: --rate: expected a number above 0 and at most 1000000, got \"0\"\n";
    assert_eq!((output.status.code(), &*output.stderr), (Some(2), expected));
    let output = yelb().args(["--port", "1", "load"]).run_to_end(AT_ONCE);
    assert_eq!((output.status.code(), output.stderr.lines().count()), (Some(2), 1), "{output:?}");
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let occupant = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupant.local_addr().unwrap().port().to_string();
    for setting in ["PORT", "YELB_API_PORT", "YELB_ADMIN_PORT"] {
        let line = format!("{setting}: cannot listen on 127.0.0.1:{port} ");
        yelb().env(setting, &port).refuses(&line);
    }
}

#[test]
fn a_flag_that_does_not_exist_is_refused() {
    for arguments in [&["--no-such-flag"][..], &["no-such-command"]] {
        let output = yelb().args(arguments).run_to_end(AT_ONCE);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, "", "{output:?}");
        assert!(output.stderr.contains(arguments[0]), "{output:?}");
    }
}

#[test]
fn help_names_every_setting_and_tells_no_secret() {
    let output = yelb()
        .env("DATABASE_URL", "postgres://yelb:hunter2@db/yelb")
        .env("REDIS_URL", "redis://:hunter2@redis")
        .arg("--help")
        .run_to_end(AT_ONCE);
    assert!(output.status.success(), "{output:?}");
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "SEARCH_DOMAIN",
        "PORT",
        "YELB_API_PORT",
        "YELB_BIND",
        "YELB_ADMIN_PORT",
        "YELB_STOP_WAIT",
        "YELB_MIGRATE",
        "RUST_LOG",
        "RACK_ENV",
    ] {
        assert!(output.stdout.contains(name), "{name} is missing in:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains("hunter2"), "{}", output.stdout);
}

#[test]
fn the_greeting_says_where_the_votes_are_and_tells_no_secret() {
    let (postgres, redis) = (Postgres::start(), Redis::start_with(&["--requirepass", "hunter2"]));
    let server = yelb()
        .args(["--database-url", &postgres.url("postgres")])
        .args(["--redis-url", &redis.url()])
        .spawn();
    let (page, _) = addresses(&server);
    eventually(testbed::PATIENCE, "votes and page views are counted", || {
        http::get(page, "/api/ihop").status == 200 && http::get(page, "/api/getstats").status == 200
    });
    let said = server.stdout();
    assert!(said.contains("PostgreSQL") && said.contains("Redis"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains("postgres_password"), "{said}");
}
