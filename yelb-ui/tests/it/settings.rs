//! Settings that cannot be used end the program with one line; all others reach what they name.

use std::net::TcpListener;
use std::time::Duration;

use testbed::http;

use crate::upstream::Upstream;
use crate::{start_ui_of, ui, ui_of};

/// How soon a person who made a mistake is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Variables that cannot be used, and how the line begins that says so.
const NONSENSE: &str = "
    YELB_APPSERVER_ENDPOINT=ftp://api                   => YELB_APPSERVER_ENDPOINT: expected http:// or https://, or a host without a scheme
    YELB_BASE_PATH=yelb                                 => YELB_BASE_PATH: expected a path such as /yelb, of letters, digits and - . _ ~, got \"yelb\"
    YELB_BASE_PATH=/api                                 => YELB_BASE_PATH: expected a path other than /api, /static and /screen
    YELB_FRAME_ANCESTORS=example.com                    => YELB_FRAME_ANCESTORS: expected none, self, or origins such as https://workshop.example.com, with spaces between them, got \"example.com\"
    YELB_APPSERVER_ENDPOINT=http://                     => YELB_APPSERVER_ENDPOINT: expected a host name or an IP address
    YELB_APPSERVER_ENDPOINT=http://:4567                => YELB_APPSERVER_ENDPOINT: expected a host name or an IP address
    YELB_APPSERVER_ENDPOINT=http://a pi                 => YELB_APPSERVER_ENDPOINT: expected a host name or an IP address
    YELB_APPSERVER_ENDPOINT=http://api?x=y              => YELB_APPSERVER_ENDPOINT: expected a URL without a query
    YELB_APPSERVER_ENDPOINT=https://api/a b             => YELB_APPSERVER_ENDPOINT: expected a URL without a query, and without spaces in its path
    YELB_APPSERVER_ENDPOINT=http://me:hunter2@api       => YELB_APPSERVER_ENDPOINT: expected a URL without a login
    YELB_APPSERVER_ENDPOINT=http://api:99999            => YELB_APPSERVER_ENDPOINT: expected host:port, with a port from 1 to 65535
    YELB_APPSERVER_ENDPOINT=http://api:                 => YELB_APPSERVER_ENDPOINT: expected host:port, with a port from 1 to 65535
    APPSERVER_HOST=ftp://api                            => APPSERVER_HOST: expected http:// or https://, or a host without a scheme
    APPSERVER_HOST=a pi                                 => APPSERVER_HOST: expected a host name or an IP address
    APPSERVER_HOST=api, YELB_APPSERVER_ENDPOINT=http://api:4567 => APPSERVER_HOST: conflicts with YELB_APPSERVER_ENDPOINT; set only one of them
    PORT=http                                           => PORT: expected a port from 0 to 65535, got \"http\"
    PORT=65536                                          => PORT: expected a port from 0 to 65535, got \"65536\"
    YELB_BIND=everywhere                                => YELB_BIND: expected an IP address
    YELB_BIND=192.0.2.1                                 => YELB_BIND: cannot listen on 192.0.2.1:0
    YELB_ADMIN_PORT=on                                  => YELB_ADMIN_PORT: expected a port from 0 to 65535, or off
    YELB_MAX_CONNECTIONS=0                              => YELB_MAX_CONNECTIONS: expected a whole number from 1 to 1000000, got \"0\"
    YELB_MAX_CONNECTIONS_PER_CLIENT=all                 => YELB_MAX_CONNECTIONS_PER_CLIENT: expected a whole number from 1 to 1000000, got \"all\"
    YELB_STOP_WAIT=soon                                 => YELB_STOP_WAIT: expected a number of whole seconds
    SEARCH_DOMAIN=example local!                        => SEARCH_DOMAIN: expected a DNS domain
    RUST_LOG=yelb=loud                                  => RUST_LOG: expected a level
    RUST_LOG=inof                                       => RUST_LOG: expected a level
";

#[test]
fn a_setting_that_cannot_be_used_is_named_in_one_line() {
    for row in NONSENSE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (variables, line) = row.split_once("=>").unwrap();
        ui().envs(variables).refuses(line.trim());
    }
}

#[test]
fn a_flag_that_cannot_be_used_is_told_as_the_flag() {
    for flag in [
        "--appserver-endpoint",
        "--port",
        "--bind",
        "--admin-port",
        "--stop-wait",
        "--max-connections",
        "--max-connections-per-client",
        "--search-domain",
    ] {
        ui().args([flag, "no such thing!"]).refuses(&format!("{flag}: expected"));
    }
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let occupant = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupant.local_addr().unwrap().port().to_string();
    for setting in ["PORT", "YELB_ADMIN_PORT"] {
        let program = ui().env(setting, &port);
        program.refuses(&format!("{setting}: cannot listen on 127.0.0.1:{port} "));
    }
}

#[test]
fn a_flag_that_does_not_exist_is_refused() {
    for arguments in [&["--no-such-flag"][..], &["--database-url"], &["no-such-command"]] {
        let output = ui().args(arguments).run_to_end(AT_ONCE);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, "", "{output:?}");
        assert!(output.stderr.contains(arguments[0]), "{output:?}");
    }
}

#[test]
fn help_names_every_setting() {
    let output = ui().arg("--help").run_to_end(AT_ONCE);
    assert!(output.status.success(), "{output:?}");
    for name in [
        "YELB_APPSERVER_ENDPOINT",
        "APPSERVER_HOST",
        "SEARCH_DOMAIN",
        "PORT",
        "YELB_BIND",
        "YELB_ADMIN_PORT",
        "YELB_STOP_WAIT",
        "YELB_MAX_CONNECTIONS",
        "YELB_MAX_CONNECTIONS_PER_CLIENT",
        "RUST_LOG",
        "healthcheck",
    ] {
        assert!(output.stdout.contains(name), "{name} is missing in:\n{}", output.stdout);
    }
}

#[test]
fn the_app_server_is_found_by_variable_by_flag_and_in_spite_of_the_originals() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let address = upstream.address();
    let endpoint = format!("http://{address}/");
    let by_name = format!("http://localhost:{}", address.port());
    for program in [
        ui_of(address).env("UI_ENV", "prod"),
        ui().env("YELB_APPSERVER_ENDPOINT", &by_name),
        ui().env("YELB_APPSERVER_ENDPOINT", by_name.trim_start_matches("http://")),
        ui().env("YELB_APPSERVER_ENDPOINT", "nonsense").args(["--appserver-endpoint", &endpoint]),
    ] {
        let running = program.spawn();
        let answer = http::get(running.address("page"), "/api/ihop");
        assert_eq!(answer.text(), "ok", "{running:?}");
    }
}

#[test]
fn without_any_setting_the_app_server_is_the_originals() {
    let server = ui().env("APPSERVER_HOST", "").spawn();
    // Which of the two depends on how long the name server takes to say that it does not know.
    let status = http::get(server.address("page"), "/api/ihop").status;
    assert!([502, 504].contains(&status), "{status}");
    let readiness = http::get(server.address("page"), "/readyz").json();
    let reason = readiness["dependencies"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("yelb-appserver:4567"), "{reason}");
}

#[test]
fn the_page_needs_no_app_server_to_start() {
    let (_ui, page) = start_ui_of(crate::nowhere());
    assert_eq!(http::get(page, "/").status, 200);
    assert_eq!(http::get(page, "/readyz").status, 200);
}
