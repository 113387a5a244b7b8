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
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot apply the migrations")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The schema lacks migrations, and this process may not apply them.
    #[error("migrations are pending ({0}); run `yelb-appserver migrate`")]
    Pending(String),
}

impl StoreError {
    /// For `map_err`: says what was being attempted.
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}
