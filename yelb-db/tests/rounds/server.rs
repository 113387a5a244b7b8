//! What the app servers of a test share.

use std::time::Duration;

use serde_json::json;
use testbed::{DynamoDb as Emulator, Postgres as PostgresServer};
use yelb_db::{DynamoDb, DynamoDbOptions, Migrate, Poll, Postgres, PostgresOptions, VoteStore};
use yelb_service::health::Dependency;
use yelb_service::names::Names;

/// The database and the table that the tests vote in.
const DATABASE: &str = "yelbdatabase";
pub(crate) const TABLE: &str = "yelb-votes";

/// A server with the original's database, or its table, and nobody's votes.
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

    /// An app server's store, once it has reached the server and prepared it.
    pub(crate) async fn app_server(&self) -> VoteStore {
        let dependency = Dependency::new("votes", "test");
        let (poll, watched) = (Poll::default(), dependency.clone());
        let store = match self {
            Self::Postgres(server) => {
                let options = PostgresOptions::from_url(&server.url(DATABASE)).unwrap();
                let (migrate, names) = (Migrate::Auto, Names::default());
                VoteStore::Postgres(Postgres::keep(options, migrate, poll, names, dependency))
            }
            Self::DynamoDb(server) => {
                let store = DynamoDb::keep(options(server), Migrate::Auto, &poll, dependency);
                VoteStore::DynamoDb(store)
            }
        };
        let prepared = async {
            while !(watched.was_prepared() && watched.is_up()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), prepared).await.expect("it is prepared");
        store
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
        Poll::default().restaurants().iter().map(|restaurant| self.count(restaurant.name())).sum()
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
    let options = DynamoDbOptions::new(TABLE, server.region(), Some(&endpoint)).unwrap();
    options.login("test", "test".into(), None)
}
