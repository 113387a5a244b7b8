//! What DynamoDB refuses when it is busy, which no emulator does: the answers are those of its API reference.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use testbed::PATIENCE;
use tokio::time::timeout;
use yelb_db::{DynamoDbOptions, StoreError, Stores, VoteLocation};

use crate::server::{TABLE, app_server};
use crate::{outcomes, tally, vote};

/// An answer: status and body.
type Answer = (u16, String);

/// Answers as DynamoDB would, first what it is told to.
#[derive(Clone, Default)]
struct Busy {
    /// What the next requests of an operation are answered, and how often it was asked for.
    refusals: Arc<Mutex<Vec<(&'static str, Answer)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Busy {
    fn refuses(&self, operation: &'static str, status: u16, body: &str) {
        self.refusals.lock().unwrap().push((operation, (status, body.to_owned())));
    }

    fn asked(&self, operation: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == operation).count()
    }

    fn answer(&self, operation: &str) -> Answer {
        self.asked.lock().unwrap().push(operation.to_owned());
        let mut refusals = self.refusals.lock().unwrap();
        if let Some(place) = refusals.iter().position(|(refused, _)| *refused == operation) {
            return refusals.remove(place).1;
        }
        let items = r#"[{"name":{"S":"outback"}},{"name":{"S":"bucadibeppo"}},{"name":{"S":"chipotle"}},{"name":{"S":"ihop"},"restaurantcount":{"N":"7"}}]"#;
        let answer = match operation {
            "BatchGetItem" => format!(r#"{{"Responses":{{"{TABLE}":{items}}}}}"#),
            "UpdateItem" => r#"{"Attributes":{"restaurantcount":{"N":"8"}}}"#.to_owned(),
            "DescribeTable" => {
                let key = r#""KeySchema":[{"AttributeName":"name","KeyType":"HASH"}]"#;
                let attribute =
                    r#""AttributeDefinitions":[{"AttributeName":"name","AttributeType":"S"}]"#;
                format!(r#"{{"Table":{{{key},{attribute},"TableStatus":"ACTIVE"}}}}"#)
            }
            _ => "{}".to_owned(),
        };
        (200, answer)
    }

    fn converse(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let head = head(&mut reader)?;
            let field = |name: &str| {
                let fields = head.lines().filter_map(|line| line.split_once(": "));
                fields
                    .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value)
                    .next()
            };
            let operation = field("x-amz-target")?.rsplit('.').next()?;
            let length = field("content-length")?.parse().ok()?;
            reader.read_exact(&mut vec![0; length]).ok()?;
            let (status, body) = self.answer(operation);
            let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0");
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            reader.get_mut().write_all(answer.as_bytes()).ok()?;
        }
    }

    fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, busy) = (listener.local_addr().unwrap(), self.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let busy = busy.clone();
                thread::spawn(move || busy.converse(stream));
            }
        });
        address
    }

    /// An app server's stores on it, once they are prepared.
    async fn app_server(&self) -> Stores {
        let endpoint = format!("http://{}", self.listen());
        let options = DynamoDbOptions::new(TABLE.parse().unwrap(), "eu-west-1", Some(&endpoint));
        app_server(VoteLocation::DynamoDb(options.login("test", "test".into(), None))).await
    }
}

/// The lines of a request up to the empty one; `None` at the end of the connection.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|bytes| *bytes > 0)?;
    }
    Some(head)
}

fn cancelled(reason: &str) -> String {
    let none = r#"{"Code":"None"}"#;
    format!(
        r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"Transaction cancelled","CancellationReasons":[{none},{reason}]}}"#
    )
}

#[tokio::test]
async fn what_another_transaction_is_in_the_way_of_is_tried_again() {
    let busy = Busy::default();
    let store = busy.app_server().await;
    let conflict = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException"}"#;
    busy.refuses("UpdateItem", 400, conflict);
    busy.refuses("TransactWriteItems", 400, &cancelled(r#"{"Code":"TransactionConflict"}"#));
    let moved_on = r#"{"Code":"ConditionalCheckFailed","Item":{"name":{"S":"ihop"},"restaurantcount":{"N":"20"}}}"#;
    busy.refuses("TransactWriteItems", 400, &cancelled(moved_on));

    assert_eq!(vote(&store, &[("ihop", None), ("ihop", Some("a"))]).await, [8, 21]);
    assert_eq!(busy.asked("UpdateItem"), 2);
    assert_eq!(busy.asked("TransactWriteItems"), 3);
}

#[tokio::test]
async fn what_may_have_been_counted_and_what_is_throttled_is_sent_once() {
    let busy = Busy::default();
    let store = busy.app_server().await;
    let throttled =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#;
    let failed = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#;
    let cancelled = cancelled(r#"{"Code":"ThrottlingError","Message":"slow down"}"#);
    for (key, operation, status, answer) in [
        (None, "UpdateItem", 400, throttled),
        (None, "UpdateItem", 500, failed),
        (Some("a"), "TransactWriteItems", 400, &*cancelled),
        (Some("a"), "TransactWriteItems", 500, failed),
    ] {
        let before = busy.asked(operation);
        busy.refuses(operation, status, answer);
        let outcome = outcomes(&store, &[("ihop", key)]).await;
        assert!(matches!(outcome[..], [Err(StoreError::Failed { .. })]), "{answer}: {outcome:?}");
        assert_eq!(busy.asked(operation), before + 1, "{answer}");
    }

    let before = busy.asked("TransactWriteItems");
    busy.refuses("TransactWriteItems", 400, &cancelled);
    let outcome = outcomes(&store, &[("ihop", Some("a")), ("outback", Some("b"))]).await;
    assert!(outcome.iter().all(Result::is_err), "{outcome:?}");
    assert_eq!(
        busy.asked("TransactWriteItems"),
        before + 1,
        "one for each restaurant is more load"
    );
}

#[tokio::test]
async fn a_tally_that_is_not_whole_is_none() {
    let busy = Busy::default();
    let store = busy.app_server().await;
    let rest = r#"{"Keys":[{"name":{"S":"ihop"}}]}"#;
    let part =
        format!(r#"{{"Responses":{{"{TABLE}":[]}},"UnprocessedKeys":{{"{TABLE}":{rest}}}}}"#);
    let refused = async {
        loop {
            busy.refuses("BatchGetItem", 200, &part);
            // The store also reads by itself once it has connected, and may be the one that gets this answer.
            if let Err(error) = tally(&store).await {
                return error;
            }
        }
    };
    let error = timeout(PATIENCE, refused).await.expect("a part is refused");
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    assert_eq!(tally(&store).await.unwrap()[2], 7);
}
