//! What is particular to DynamoDB: its tables, keys that expire, items that others write to.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{DynamoDb as Emulator, PATIENCE};
use yelb_db::{Location, Migrate, ViewLocation, VoteLocation};
use yelb_poll::Poll;
use yelb_resolver::Resolver;

use crate::server::{KEYS_KEPT, Server, TABLE, options};
use crate::settling::refuses_ihop_alone;
use crate::{outcomes, tally, vote};

fn emulator(server: &Server) -> &Emulator {
    match server {
        Server::DynamoDb(emulator) => emulator,
        Server::Postgres(_) => panic!("these tests are about DynamoDB"),
    }
}

fn item(emulator: &Emulator, name: &str) -> Value {
    let key = json!({ "name": { "S": name } });
    emulator.ask("GetItem", &json!({ "TableName": TABLE, "Key": key }))["Item"].clone()
}

fn put(emulator: &Emulator, item: &Value) {
    emulator.ask("PutItem", &json!({ "TableName": TABLE, "Item": item }));
}

#[tokio::test]
async fn a_key_is_known_for_a_day_and_cleared_away_by_the_table() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    let emulator = emulator(&server);
    assert_eq!(vote(&store, &[("ihop", Some("old")), ("ihop", Some("new"))]).await, [1, 2]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expires = emulator.number(TABLE, "name=vote-key#old", "expires").unwrap();
    let in_a_day = i64::try_from(now + 24 * 60 * 60).unwrap();
    assert!((in_a_day - 60..=in_a_day).contains(&expires), "{expires}");
    let time_to_live = emulator.ask("DescribeTimeToLive", &json!({ "TableName": TABLE }));
    assert_eq!(
        time_to_live["TimeToLiveDescription"],
        json!({ "AttributeName": "expires", "TimeToLiveStatus": "ENABLED" })
    );

    // What has expired stays for a while, until DynamoDB comes to it.
    let mut old = item(emulator, "vote-key#old");
    old["expires"] = json!({ "N": (now - 1).to_string() });
    put(emulator, &old);
    assert_eq!(vote(&store, &[("ihop", Some("old")), ("ihop", Some("new"))]).await, [3, 2]);
}

#[tokio::test]
async fn more_keys_than_a_transaction_takes_are_counted_in_several() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    let keys: Vec<String> = (0..230).map(|number| number.to_string()).collect();
    let names = ["ihop", "outback", "chipotle"];
    let votes: Vec<_> = keys
        .iter()
        .zip(names.iter().cycle())
        .map(|(key, name)| (*name, Some(key.as_str())))
        .collect();

    let counts = vote(&store, &votes).await;
    let expected: Vec<i64> = (0..230).map(|number| number / 3 + 1).collect();
    assert_eq!(counts, expected);
    assert_eq!(vote(&store, &votes).await, expected, "all of them are known");
    assert_eq!(server.total(), 230);
}

#[tokio::test]
async fn what_others_write_to_an_item_is_kept() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    let emulator = emulator(&server);
    vote(&store, &[("ihop", None), ("ihop", Some("a"))]).await;

    // As the original adds: it writes what it has read, and one.
    let mut ihop = item(emulator, "ihop");
    ihop["restaurantcount"] = json!({ "N": "100" });
    ihop["colour"] = json!({ "S": "blue" });
    put(emulator, &ihop);

    assert_eq!(vote(&store, &[("ihop", Some("b")), ("ihop", None)]).await, [102, 101]);
    assert_eq!(item(emulator, "ihop")["colour"], json!({ "S": "blue" }));
}

#[tokio::test]
async fn a_count_that_is_none_is_an_error_that_names_it() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    put(emulator(&server), &json!({ "name": { "S": "ihop" }, "restaurantcount": { "S": "many" } }));
    let error = tally(&store).await.expect_err("a word is no count");
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    assert!(
        causes.iter().any(|it| it.contains("`restaurantcount` of `ihop` is not a whole number")),
        "{causes:?}"
    );
    assert!(outcomes(&store, &[("ihop", Some("a"))]).await[0].is_err());
    assert_eq!(item(emulator(&server), "vote-key#a"), Value::Null, "it is not remembered either");
}

#[tokio::test]
async fn an_item_that_cannot_be_counted_takes_no_vote_for_another_with_it() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    let emulator = emulator(&server);
    let many = json!({ "name": { "S": "ihop" }, "restaurantcount": { "S": "many" } });
    put(emulator, &many);
    refuses_ihop_alone(&store, "a word for a count").await;
    put(emulator, &json!({ "name": { "S": "ihop" }, "restaurantcount": { "N": "0" } }));
    let votes = [("ihop", Some("a")), ("outback", None), ("chipotle", Some("b"))];
    assert_eq!(vote(&store, &votes).await, [1, 2, 1], "what was refused is not counted later");
}

#[tokio::test]
async fn a_table_is_made_once() {
    let emulator = Emulator::start();
    let location = Location {
        votes: VoteLocation::DynamoDb(options(&emulator)),
        views: ViewLocation::Sqlite("sqlite::memory:".to_owned()),
        migrate: Migrate::Never,
        keys_kept: KEYS_KEPT,
    };
    let resolver = Resolver::default();
    let migrate = || yelb_db::migrate(&location, Poll::default(), &resolver);
    migrate().await.unwrap();
    let ihop = json!({ "name": { "S": "ihop" }, "restaurantcount": { "N": "0" } });
    assert_eq!(item(&emulator, "ihop"), ihop);
    migrate().await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_gone_is_made_again() {
    let server = Server::dynamodb();
    let store = server.app_server().await;
    vote(&store, &[("ihop", None)]).await;
    emulator(&server).ask("DeleteTable", &json!({ "TableName": TABLE }));

    tokio::time::timeout(PATIENCE, async {
        while outcomes(&store, &[("ihop", None)]).await[0].is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the table is made again");
}
