//! Votes and page views in DynamoDB: the original's tables, and what becomes of requests when it is down.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::http::{self, Response};
use testbed::{DynamoDb, PATIENCE, Program, Running, SECRET, eventually};

use crate::{await_ready, bare};

const VOTES: &str = "yelb-restaurants";
const VIEWS: &str = "yelb-cache";

/// The original's own words for where the tables are.
const ORIGINALS_WORDS: &str =
    "RACK_ENV=custom, YELB_DDB_RESTAURANTS=yelb-restaurants, YELB_DDB_CACHE=yelb-cache";
const URLS: &str = "DATABASE_URL=dynamodb://yelb-restaurants, REDIS_URL=dynamodb://yelb-cache";

fn told(emulator: &DynamoDb, variables: &str) -> Program {
    bare().envs(&emulator.variables()).envs(variables)
}

/// An app server on these tables, once both are up.
#[track_caller]
fn start(emulator: &DynamoDb, variables: &str) -> (Running, SocketAddr) {
    let server = told(emulator, variables).spawn();
    let api = server.address("api");
    await_ready(api);
    eventually(PATIENCE, "page views are counted", || {
        http::get(api, "/api/pageviews").status == 200
    });
    (server, api)
}

fn vote(api: SocketAddr, restaurant: &str, key: &str) -> Response {
    http::request(api, "POST", &format!("/api/{restaurant}"), &[("Idempotency-Key", key)], b"")
}

fn dependency(api: SocketAddr, index: usize) -> Value {
    http::get(api, "/readyz").json()["dependencies"][index].clone()
}

#[test]
fn the_originals_tables_are_adopted_with_their_counts() {
    let emulator = DynamoDb::start();
    emulator.create_original_tables(VOTES, VIEWS);
    let ihop = json!({ "name": { "S": "ihop" }, "restaurantcount": { "N": "44" } });
    emulator.ask("PutItem", &json!({ "TableName": VOTES, "Item": ihop }));
    let views = json!({ "counter": { "S": "pageviews" }, "pageviewscount": { "N": "99" } });
    emulator.ask("PutItem", &json!({ "TableName": VIEWS, "Item": views }));

    for words in [ORIGINALS_WORDS, &ORIGINALS_WORDS.replace("custom", "production"), URLS] {
        let votes = emulator.number(VOTES, "name=ihop", "restaurantcount").unwrap();
        let (_server, api) = start(&emulator, words);
        assert_eq!(http::get(api, "/api/ihop").text(), (votes + 1).to_string(), "{words}");
        assert_eq!(
            vote(api, "ihop", words.split(',').next().unwrap()).text(),
            (votes + 2).to_string()
        );
        let list = http::get(api, "/api/getvotes");
        let expected = format!(
            r#"[{{"name": "outback", "value": 0}},{{"name": "bucadibeppo", "value": 0}},{{"name": "ihop", "value": {}}}, {{"name": "chipotle", "value": 0}}]"#,
            votes + 2
        );
        assert_eq!(list.text(), expected, "{words}");
        let stored = emulator.number(VOTES, "name=ihop", "restaurantcount");
        assert_eq!(stored, Some(votes + 2), "{words}");
        let views = emulator.number(VIEWS, "counter=pageviews", "pageviewscount").unwrap();
        assert_eq!(http::get(api, "/api/pageviews").text(), (views + 1).to_string(), "{words}");
        assert!(views >= 100, "counted on from 99: {views}");
    }
}

#[test]
fn a_retry_at_another_app_server_is_counted_once() {
    let emulator = DynamoDb::start();
    let ((_one, one), (_other, other)) = (start(&emulator, URLS), start(&emulator, URLS));
    assert_eq!(vote(one, "ihop", "first").text(), "1");
    assert_eq!(vote(other, "ihop", "second").text(), "2");
    assert_eq!(vote(other, "ihop", "first").text(), "1");
    assert_eq!(vote(one, "outback", "first").status, 422);
    assert_eq!(emulator.number(VOTES, "name=ihop", "restaurantcount"), Some(2));
    assert_eq!(emulator.number(VOTES, "name=outback", "restaurantcount"), Some(0));
}

#[test]
fn a_lost_service_is_503_at_once_and_found_again() {
    let emulator = DynamoDb::start();
    let (_server, api) = start(&emulator, URLS);
    emulator.kill();
    for path in ["/api/ihop", "/api/getvotes", "/api/getstats", "/api/pageviews"] {
        eventually(PATIENCE, &format!("{path} is 503"), || {
            let lost = http::get(api, path);
            lost.status == 503 && lost.header("retry-after").is_some()
        });
    }
    assert_eq!(vote(api, "ihop", "key").status, 503);
    assert_eq!(http::get(api, "/livez").status, 200);
    assert_eq!(http::get(api, "/readyz").status, 200, "a shared outage takes no replica out");
    eventually(PATIENCE, "it is reported", || {
        dependency(api, 0)["state"] == "down" && dependency(api, 1)["state"] == "down"
    });

    // Empty: its tables are made again.
    emulator.start_again();
    eventually(PATIENCE, "votes are counted again", || vote(api, "ihop", "key").status == 200);
    eventually(PATIENCE, "page views are, too", || http::get(api, "/api/pageviews").status == 200);
    assert_eq!(emulator.number(VOTES, "name=ihop", "restaurantcount"), Some(1));
}

#[test]
fn a_silent_service_is_503_within_the_limit_of_a_request() {
    let emulator = DynamoDb::start();
    let (_server, api) = start(&emulator, URLS);
    emulator.freeze();
    let asked = Instant::now();
    assert_eq!(http::get(api, "/api/ihop").status, 503);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    eventually(PATIENCE, "the votes are down", || dependency(api, 0)["state"] == "down");
    emulator.thaw();
    eventually(PATIENCE, "votes are counted again", || http::get(api, "/api/ihop").status == 200);
}

#[test]
fn a_table_that_may_not_be_made_keeps_the_app_server_from_being_ready() {
    let emulator = DynamoDb::start();
    let never = format!("{URLS}, YELB_MIGRATE=never");
    let server = told(&emulator, &never).spawn();
    let api = server.address("api");
    let missing = "table yelb-restaurants is missing; run `yelb-appserver migrate`";
    eventually(PATIENCE, "it says what is missing", || dependency(api, 0)["missing"] == missing);
    assert_eq!(http::get(api, "/readyz").status, 503);
    assert_eq!(http::get(api, "/api/ihop").status, 503);

    let migrated = told(&emulator, URLS).arg("migrate").run_to_end(PATIENCE);
    assert!(migrated.status.success(), "{migrated:?}");
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
    assert_eq!(http::get(api, "/api/pageviews").text(), "1");
}

#[test]
fn a_table_of_something_else_is_left_alone_and_named() {
    let emulator = DynamoDb::start();
    emulator.create_original_tables(VIEWS, VOTES);
    let server = told(&emulator, URLS).spawn();
    let api = server.address("api");
    let wrong = "the key of yelb-restaurants is not `name` alone, a string";
    eventually(PATIENCE, "it says what is wrong", || {
        http::get(api, "/readyz").text().contains(wrong)
    });
    let migrated = told(&emulator, URLS).arg("migrate").run_to_end(Duration::from_secs(10));
    assert!(migrated.stderr.contains(wrong), "{migrated:?}");
}

#[test]
fn without_credentials_it_is_away_and_says_so() {
    let emulator = DynamoDb::start();
    let server = told(&emulator, URLS)
        .envs("AWS_ACCESS_KEY_ID=, AWS_SECRET_ACCESS_KEY=, AWS_EC2_METADATA_DISABLED=true")
        .spawn();
    let api = server.address("api");
    eventually(PATIENCE, "it is down", || {
        dependency(api, 0)["reason"].as_str().is_some_and(|reason| reason.contains("credentials"))
    });
    assert_eq!(http::get(api, "/api/ihop").status, 503);
}

#[test]
fn a_containers_role_is_asked_for_and_no_secret_told() {
    let emulator = DynamoDb::start();
    let role = json!({
        "AccessKeyId": "ASIATEST",
        "SecretAccessKey": SECRET,
        "Token": SECRET,
        "Expiration": "2099-01-01T00:00:00Z",
    });
    let agent = container_agent(role.to_string());
    let server = told(&emulator, URLS)
        .envs("AWS_ACCESS_KEY_ID=, AWS_SECRET_ACCESS_KEY=, RUST_LOG=debug")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{agent}/role"))
        .spawn();
    let api = server.address("api");
    await_ready(api);
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
    server.kill();
    assert!(!server.stderr().contains(SECRET), "{server:?}");
}

/// Answers every request with this JSON, as the agent of ECS answers a task that asks for its role.
fn container_agent(role: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{role}", role.len());
            // A client whose connection has ended asks again.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}
