//! The message of a database's error, without what the driver adds.

use std::error::Error;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// The server's message. The driver adds "error returned from database" and the line of the server's source code; these are
/// left out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ServerMessage(String);

/// Replaces the driver's error by the server's message, if the server sent one.
pub(crate) fn in_words(reason: Box<dyn Error + Send + Sync>) -> Arc<dyn Error + Send + Sync> {
    let words = match reason.downcast_ref::<MigrateError>() {
        Some(MigrateError::ExecuteMigration(error, version)) => {
            server_message(error).map(|words| format!("migration {version}: {words}"))
        }
        Some(MigrateError::Execute(error)) => server_message(error),
        Some(_) => None,
        None => reason.downcast_ref().and_then(server_message),
    };
    match words {
        Some(words) => Arc::new(ServerMessage(words)),
        None => Arc::from(reason),
    }
}

fn server_message(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().map(DatabaseError::message).map(str::to_owned)
}
