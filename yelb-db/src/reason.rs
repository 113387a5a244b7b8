//! Why a database refused, in its own words.

use std::error::Error;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// What the server said, without what the driver adds: "error returned from database", and the line of the server's source
/// code.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ServersWords(String);

/// The reason as people read it.
pub(crate) fn in_words(reason: Box<dyn Error + Send + Sync>) -> Arc<dyn Error + Send + Sync> {
    let words = match reason.downcast_ref::<MigrateError>() {
        Some(MigrateError::ExecuteMigration(error, version)) => {
            servers_words(error).map(|words| format!("migration {version}: {words}"))
        }
        Some(MigrateError::Execute(error)) => servers_words(error),
        Some(_) => None,
        None => reason.downcast_ref().and_then(servers_words),
    };
    match words {
        Some(words) => Arc::new(ServersWords(words)),
        None => Arc::from(reason),
    }
}

fn servers_words(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().map(DatabaseError::message).map(str::to_owned)
}
