//! The stores of Yelb: votes in PostgreSQL, DynamoDB or an SQLite file, page views in Redis or one of the latter two. The only
//! SQL, the only Redis and the only DynamoDB of the workspace.
//!
//! [`open()`] is the place that knows which kinds there are. What it gives, [`VoteStore`] and [`ViewStore`], are channels to
//! tasks that own a connection each ([`batcher`]); whatever answers them, they look the same. What can be voted for is in
//! `yelb-poll`, not in a table.

pub mod batcher;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod error;
mod kind;
mod maintenance;
mod migrations;
mod open;
mod password;
mod postgres;
mod reason;
mod redis;
mod sqlite;
mod status;
mod views;
mod votes;

#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoDbOptions, InvalidTableName, TableName};
pub use error::StoreError;
pub use kind::{Description, StoreKind};
pub use open::{
    CLOSE_LIMIT, Location, Migrate, OpenError, StoreLocation, StoreServer, Stores, ViewLocation,
    VoteLocation, migrate, open,
};
pub use password::Password;
pub use postgres::PostgresOptions;
pub use redis::RedisOptions;
pub use status::{State, Status, StatusReceiver, StatusSender};
pub use views::ViewStore;
pub use votes::{InvalidKey, KeyReused, Tally, Vote, VoteBatch, VoteKey, VoteStore};
