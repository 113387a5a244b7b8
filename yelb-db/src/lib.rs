//! The votes' home: the schema, its migrations, and the stores. The only SQL in the workspace, and the only use of DynamoDB.
//!
//! [`VoteStore`] is what the app server votes on: [`Postgres`], the original's database or our own, [`DynamoDb`], the
//! original's table or our own, or [`Sqlite`], a file that needs no server. Which restaurants there are is the [`Poll`]'s to say, not the table's.

mod dynamodb;
mod error;
mod poll;
mod postgres;
mod round;
mod sqlite;
mod store;
mod sweep;

pub use dynamodb::{DynamoDb, DynamoDbOptions, DynamoDbViews};
pub use error::StoreError;
pub use poll::{Poll, Restaurant};
pub use postgres::{Migrate, Postgres, PostgresOptions};
pub use round::{Counted, InvalidKey, KeyReused, Round, Ticket, VoteKey};
pub use sqlite::Sqlite;
pub use store::{Count, VoteStore};
