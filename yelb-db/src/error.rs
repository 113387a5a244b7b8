use std::error::Error;

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no connection. The keeper is at it; nothing was sent.
    #[error("the store is away")]
    Away,
    /// The database refused, or went away in the middle: the outcome of a vote is then unknown.
    #[error("cannot {doing}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// The database's or the driver's reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The schema could not be brought up to date.
    #[error("cannot apply the migrations")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The schema lacks migrations, and this process may not apply them.
    #[error("migrations are pending ({0}); run `yelb-appserver migrate`")]
    Pending(String),
    /// The table is not there, or not yet.
    #[error("{0}")]
    NoTable(String),
    /// The table is one of something else.
    #[error("{0}")]
    WrongTable(String),
}

impl StoreError {
    /// For `map_err`: says what was being attempted.
    pub(crate) fn doing<E: Into<Box<dyn Error + Send + Sync>>>(
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Database { doing, source: source.into() }
    }
}
