//! What the app servers of a test share.

use std::time::Duration;

use serde_json::json;
use testbed::{DynamoDb as Emulator, Postgres as PostgresServer};
use yelb_db::{
    DynamoDbOptions, Location, Migrate, PostgresOptions, State, StoreServer, Stores, ViewLocation,
    VoteLocation,
};
use yelb_poll::Poll;
use yelb_resolver::Resolver;

/// As by default.
pub(crate) const KEYS_KEPT: Duration = Duration::from_hours(24);
/// The database and the table that the tests vote in.
pub(crate) const DATABASE: &str = "yelbdatabase";
pub(crate) const TABLE: &str = "yelb-votes";

/// A server with the original's database, or its table, and no votes.
pub(crate) enum Server {
    Postgres(PostgresServer),
    DynamoDb(Emulator),
}

impl Server {
    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::start();
        server.create_original_schema();
        Self::Postgres(server)
    }

    pub(crate) fn dynamodb() -> Self {
        let server = Emulator::start();
        server.create_original_tables(TABLE, "yelb-views");
        Self::DynamoDb(server)
    }

    /// The server, to be asked what others cannot be.
    pub(crate) fn postgres_itself(&self) -> &PostgresServer {
        match self {
            Self::Postgres(server) => server,
            Self::DynamoDb(_) => panic!("the test is one of Postgres"),
        }
    }

    /// An app server's stores, once they have reached the server and prepared it. Its page views are its own.
    pub(crate) async fn app_server(&self) -> Stores {
        app_server(self.location()).await
    }

    /// Where the votes are.
    pub(crate) fn location(&self) -> VoteLocation {
        match self {
            Self::Postgres(server) => VoteLocation::Server(
                PostgresOptions::from_url(&server.url(DATABASE).parse().unwrap()).unwrap(),
            ),
            Self::DynamoDb(server) => VoteLocation::DynamoDb(options(server)),
        }
    }

    pub(crate) fn count(&self, restaurant: &str) -> i64 {
        match self {
            Self::Postgres(server) => {
                let count = format!("select count from restaurants where name = '{restaurant}'");
                server.sql(DATABASE, &count).parse().unwrap()
            }
            Self::DynamoDb(server) => {
                server.number(TABLE, &format!("name={restaurant}"), "restaurantcount").unwrap()
            }
        }
    }

    pub(crate) fn total(&self) -> i64 {
        Poll::default().names().into_iter().map(|name| self.count(name)).sum()
    }

    pub(crate) fn remove(&self, restaurant: &str) {
        match self {
            Self::Postgres(server) => {
                let delete = format!("delete from restaurants where name = '{restaurant}'");
                server.sql(DATABASE, &delete);
            }
            Self::DynamoDb(server) => {
                let key = json!({ "name": { "S": restaurant } });
                server.ask("DeleteItem", &json!({ "TableName": TABLE, "Key": key }));
            }
        }
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::DynamoDb(server) => server.kill(),
        }
    }
}

/// The table in the emulator.
pub(crate) fn options(server: &Emulator) -> DynamoDbOptions {
    let endpoint = server.endpoint();
    let options = DynamoDbOptions::new(TABLE.parse().unwrap(), server.region(), Some(&endpoint));
    options.login("test", "test".into(), None)
}

/// An app server's stores with its votes there, once it has reached and prepared them.
pub(crate) async fn app_server(votes: VoteLocation) -> Stores {
    let views = ViewLocation::Sqlite("sqlite::memory:".to_owned());
    let location = Location { votes, views, migrate: Migrate::Auto, keys_kept: KEYS_KEPT };
    let stores = yelb_db::open(&location, Poll::default(), &Resolver::default()).await.unwrap();
    let status = stores.votes.status();
    let prepared = async {
        while !(status.get().prepared && status.get().state == State::Up) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), prepared).await.expect("it is prepared");
    stores
}
