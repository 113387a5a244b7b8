//! A private emulator of DynamoDB.

use serde_json::{Value, json};

use crate::http;
use crate::program::Program;
use crate::server::{Kind, Server};

const EMULATOR: &str = include_str!("dynamodb.py");

/// The emulator requires a header of this form. It does not verify the signature.
const LOGIN: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/dynamodb/aws4_request, \
                     SignedHeaders=host, Signature=0";

/// An emulator of DynamoDB for one test. It writes nothing to disk: after `start_again` it is empty.
pub type DynamoDb = Server<Emulator>;

/// How the emulator is started.
#[derive(Debug)]
pub struct Emulator {
    region: &'static str,
}

impl Kind for Emulator {
    const NAME: &'static str = "the emulator of DynamoDB";

    fn program(&self, port: u16) -> Program {
        Program::of_python("python").args(["-c", EMULATOR, &port.to_string()])
    }
}

impl Server<Emulator> {
    /// Starts an emulator without tables.
    #[track_caller]
    pub fn start() -> Self {
        Self::launch(Emulator { region: "eu-west-1" })
    }

    /// The environment variables for a program that is to use this emulator, for [`Program::envs`].
    pub fn variables(&self) -> String {
        let (region, endpoint) = (self.region(), self.endpoint());
        format!(
            "AWS_REGION={region}, AWS_ACCESS_KEY_ID=test, AWS_SECRET_ACCESS_KEY=test, AWS_ENDPOINT_URL_DYNAMODB={endpoint}"
        )
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The region that [`Self::variables`] name.
    pub fn region(&self) -> &'static str {
        self.kind().region
    }

    /// Makes the original's two tables. All counts in them are 0.
    #[track_caller]
    pub fn create_original_tables(&self, votes: &str, views: &str) {
        self.create_table(votes, "name");
        for name in ["outback", "bucadibeppo", "ihop", "chipotle"] {
            let item = json!({ "name": { "S": name }, "restaurantcount": { "N": "0" } });
            self.ask("PutItem", &json!({ "TableName": votes, "Item": item }));
        }
        self.create_table(views, "counter");
        let item = json!({ "counter": { "S": "pageviews" }, "pageviewscount": { "N": "0" } });
        self.ask("PutItem", &json!({ "TableName": views, "Item": item }));
    }

    /// Makes a table whose key is the string `key`.
    #[track_caller]
    pub fn create_table(&self, name: &str, key: &str) {
        self.ask(
            "CreateTable",
            &json!({
                "TableName": name,
                "AttributeDefinitions": [{ "AttributeName": key, "AttributeType": "S" }],
                "KeySchema": [{ "AttributeName": key, "KeyType": "HASH" }],
                "BillingMode": "PAY_PER_REQUEST",
            }),
        );
    }

    /// Reads a number attribute of an item, or `None` if the item does not have it. `key` names the item, such as `name=ihop`.
    #[track_caller]
    pub fn number(&self, table: &str, key: &str, attribute: &str) -> Option<i64> {
        let (name, value) = key.split_once('=').expect("name=value");
        let key = json!({ name: { "S": value } });
        let answer = self.ask("GetItem", &json!({ "TableName": table, "Key": key }));
        let number = &answer["Item"][attribute]["N"];
        number.as_str().map(|number| number.parse().expect("a whole number"))
    }

    /// Calls an operation of DynamoDB's API and returns the answer. An error fails the test.
    #[track_caller]
    pub fn ask(&self, operation: &str, request: &Value) -> Value {
        let target = format!("DynamoDB_20120810.{operation}");
        let fields = [
            ("X-Amz-Target", &*target),
            ("Content-Type", "application/x-amz-json-1.0"),
            ("Authorization", LOGIN),
        ];
        let body = request.to_string();
        let answer = http::request(self.address(), "POST", "/", &fields, body.as_bytes());
        assert_eq!(answer.status, 200, "{operation} {request}: {}", answer.text());
        answer.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_has_the_originals_tables_and_is_empty_after_a_restart() {
        let emulator = DynamoDb::start();
        emulator.create_original_tables("votes", "views");
        assert_eq!(emulator.number("votes", "name=ihop", "restaurantcount"), Some(0));
        assert_eq!(emulator.number("votes", "name=kfc", "restaurantcount"), None);

        emulator.kill();
        emulator.start_again();
        assert_eq!(emulator.ask("ListTables", &json!({}))["TableNames"], json!([]));
    }
}
