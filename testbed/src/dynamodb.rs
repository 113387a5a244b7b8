//! A private emulator of DynamoDB.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::program::{Program, Running};
use crate::{PATIENCE, happens, http, port};

/// Runs moto's server such that requests take turns. DynamoDB does one after the other what concerns the same item; moto
/// leaves that to whoever calls it, and its transactions put a whole table back that others have written to meanwhile. It
/// also copies the whole table for each item of a transaction; here it does so once.
const EMULATOR: &str = "
import copy, sys, threading
from moto.dynamodb import models
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple
class Copies:
    kept = {}
    def deepcopy(self, original):
        if not isinstance(original, models.Table):
            return copy.deepcopy(original)
        if original.name not in self.kept:
            self.kept[original.name] = copy.deepcopy(original)
        return self.kept[original.name]
models.copy = Copies()
server, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environment, respond):
    with turn:
        models.copy.kept.clear()
        return list(server(environment, respond))
run_simple('127.0.0.1', int(sys.argv[1]), one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
";

/// Where its tables are.
const REGION: &str = "eu-west-1";
/// Whoever signs with this is let in; no signature is verified.
const LOGIN: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/dynamodb/aws4_request, \
                     SignedHeaders=host, Signature=0";

/// An emulator of DynamoDB of the test's own. It keeps nothing on disk: after [`DynamoDb::start_again`] it is empty.
#[derive(Debug)]
pub struct DynamoDb {
    port: u16,
    server: Mutex<Option<Running>>,
}

impl DynamoDb {
    /// Starts one, without a table.
    #[track_caller]
    pub fn start() -> Self {
        let emulator = Self { port: port::reserve(), server: Mutex::new(None) };
        emulator.start_again();
        emulator
    }

    /// The variables by which a program finds it, for [`Program::envs`].
    pub fn variables(&self) -> String {
        format!(
            "AWS_REGION={REGION}, AWS_ACCESS_KEY_ID=test, AWS_SECRET_ACCESS_KEY=test, AWS_ENDPOINT_URL_DYNAMODB={}",
            self.endpoint()
        )
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The region that [`Self::variables`] name.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// Makes the original's tables: `votes` with nobody's votes in it, and `views` with no page view.
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

    /// A number of an item, or nothing if there is no such number; `key` is the item, as `name=ihop`.
    #[track_caller]
    pub fn number(&self, table: &str, key: &str, attribute: &str) -> Option<i64> {
        let (name, value) = key.split_once('=').expect("name=value");
        let key = json!({ name: { "S": value } });
        let answer = self.ask("GetItem", &json!({ "TableName": table, "Key": key }));
        let number = &answer["Item"][attribute]["N"];
        number.as_str().map(|number| number.parse().expect("a whole number"))
    }

    /// What it answers to an operation of DynamoDB's API. An error fails the test.
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

    /// Ends it without warning, and its tables with it.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            server.kill();
        }
    }

    /// Starts it again on the same port, after [`Self::kill`].
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.server().is_none(), "the emulator is still running: kill it first");
        let arguments = ["-c", EMULATOR, &self.port.to_string()];
        let server = Program::of_python("python").args(arguments).spawn();
        let answers = || std::net::TcpStream::connect(self.address()).is_ok();
        let started = happens(PATIENCE, || !server.is_running() || answers());
        assert!(started && server.is_running(), "the emulator does not start: {server:?}");
        *self.server() = Some(server);
    }

    /// Makes it stand still: it accepts connections, as the kernel does that, and answers nothing.
    #[track_caller]
    pub fn freeze(&self) {
        if let Some(server) = &*self.server() {
            server.freeze();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(server) = &*self.server() {
            server.thaw();
        }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn server(&self) -> MutexGuard<'_, Option<Running>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_originals_tables_and_loses_them_when_it_ends() {
        let emulator = DynamoDb::start();
        emulator.create_original_tables("votes", "views");
        assert_eq!(emulator.number("votes", "name=ihop", "restaurantcount"), Some(0));
        assert_eq!(emulator.number("votes", "name=kfc", "restaurantcount"), None);

        emulator.kill();
        emulator.start_again();
        assert_eq!(emulator.ask("ListTables", &json!({}))["TableNames"], json!([]));
    }
}
