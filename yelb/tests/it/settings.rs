//! Settings that cannot be used end the program with one line.

use std::net::TcpListener;
use std::time::Duration;

use testbed::{Postgres, Redis, eventually, http};

use crate::{addresses, yelb};

/// How soon a person who made a mistake is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Variables that cannot be used, and how the line begins that says so. The app server's own tests have all of its.
const NONSENSE: &str = "
    PORT=http                                               => PORT: must be a port from 0 to 65535
    YELB_API_PORT=65536                                     => YELB_API_PORT: must be a port from 0 to 65535
    YELB_ADMIN_PORT=on                                      => YELB_ADMIN_PORT: must be a port from 0 to 65535, or `off`
    YELB_BIND=everywhere                                    => YELB_BIND: must be an IP address
    YELB_BIND=192.0.2.1                                     => YELB_BIND: cannot listen on 192.0.2.1:0
    YELB_STOP_WAIT=soon                                     => YELB_STOP_WAIT: must be a number of whole seconds
    YELB_MIGRATE=maybe                                      => YELB_MIGRATE: must be auto or never
    SEARCH_DOMAIN=example local!                            => SEARCH_DOMAIN: must be a DNS domain
    RACK_ENV=staging                                        => RACK_ENV: must be production, test, development or custom
    RUST_LOG=yelb=loud                                      => RUST_LOG: must be a level
    DATABASE_URL=mysql://yelb:hunter2@db/yelb               => DATABASE_URL: must be a URL: postgres://
    DATABASE_URL=sqlite:/dev/null/yelb.db                   => DATABASE_URL: must name a store that can be reached or made
    HOME=/dev/null                                          => DATABASE_URL: must name a store that can be reached or made
    XDG_DATA_HOME=/dev/null                                 => DATABASE_URL: must name a store that can be reached or made
    REDIS_URL=http://:hunter2@redis                         => REDIS_URL: must be a URL: redis://
    REDIS_URL=sqlite:/dev/null/views.db                     => REDIS_URL: must name a store that can be reached or made
    DATABASE_URL=postgres://u:hunter2@db/yelb, DB_HOST=db   => DB_HOST: excludes DATABASE_URL
    DB_HOST=db, YELB_DB_PASSWORD_FILE=nowhere               => YELB_DB_PASSWORD_FILE: must name a readable text file
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
fn a_flag_that_cannot_be_used_is_told_by_its_variable() {
    for (flag, setting) in [
        ("--port", "PORT"),
        ("--api-port", "YELB_API_PORT"),
        ("--admin-port", "YELB_ADMIN_PORT"),
        ("--bind", "YELB_BIND"),
        ("--stop-wait", "YELB_STOP_WAIT"),
        ("--search-domain", "SEARCH_DOMAIN"),
        ("--database-url", "DATABASE_URL"),
        ("--redis-url", "REDIS_URL"),
        ("--migrate", "YELB_MIGRATE"),
    ] {
        yelb().args([flag, "no such thing!"]).refuses(&format!("{setting}: must be"));
    }
}

#[test]
fn a_port_that_somebody_else_has_is_told_by_its_setting() {
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = somebody.local_addr().unwrap().port().to_string();
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
