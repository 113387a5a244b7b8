//! A session for batches: with PostgreSQL itself, or with a pooler that lends a server's session for one transaction.

use sqlx::postgres::{PgConnectOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Transaction};
use tokio::time::Instant;

/// What holds for every statement of a batch.
///
/// The server gives a statement up before we give up waiting for it, so that a vote that was answered 503 because of
/// another session's lock is not counted later. The exception is a batch that waited more than 0.6 s for a login: its 2.4 s
/// end first, and the database may still count its votes.
///
/// A wait for a row ends before that, so that there is time for the votes of the batch that are for other rows.
///
/// A statement is planned when it is first used, which on a new database is when there is no key yet, and the plan is kept:
/// one that reads the whole table for each batch. At 40,000 keys a batch of 256 took 240 ms by it instead of 4.
///
/// A role may have a stricter isolation by default, by which batches of two app servers would make each other fail.
const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", TIMEOUT),
    ("lock_timeout", "1200ms"),
    ("enable_seqscan", "off"),
    ("default_transaction_isolation", "read committed"),
];
const TIMEOUT: &str = "1800ms";
/// A vote that was answered is in the database, whatever the role or the server has for others. A stricter value is kept.
const COMMIT: &str = "select set_config('synchronous_commit', 'on', false) \
     where current_setting('synchronous_commit') = 'off'";
/// Since PostgreSQL 11. A table without an index is read as a whole all the same, which then counts as so expensive that the
/// server compiles the statement first, each time: half a second for a vote on a table that was made by hand.
const NO_COMPILER: &str = "set jit = off";
const COMPILER_SINCE: u32 = 110_000;
/// All of it for one transaction, after which another client has the session. Values are those of [`SETTINGS`].
macro_rules! begin {
    ($compiler:literal) => {
        concat!(
            "begin isolation level read committed; ",
            "set local statement_timeout = '1800ms'; set local lock_timeout = '1200ms'; set local enable_seqscan = off; ",
            $compiler,
            "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'",
        )
    };
}
const BEGIN: &str = begin!("set local jit = off; ");
const BEGIN_ON_POSTGRES_10: &str = begin!("");

/// A session for batches.
pub(super) struct BatchSession {
    connection: PgConnection,
    /// How each batch begins where a pooler may give each transaction another session of the server's, in which no setting
    /// and no prepared statement lasts.
    begin: Option<&'static str>,
}

impl BatchSession {
    /// Logs in with the settings of a batch. A pooler refuses them, or takes no notice.
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        match PgConnection::connect_with(&options.clone().options(SETTINGS)).await {
            Ok(connection) => Self::with_settings(connection).await,
            Err(error) if is_refused_setting(&error) => {
                PgConnection::connect_with(options).await.map(Self::pooled)
            }
            Err(error) => Err(error),
        }
    }

    async fn with_settings(mut connection: PgConnection) -> Result<Self, sqlx::Error> {
        if setting(&mut connection, "show statement_timeout").await? != TIMEOUT {
            return Ok(Self::pooled(connection));
        }
        sqlx::raw_sql(COMMIT).execute(&mut connection).await?;
        if has_compiler(&connection) {
            sqlx::raw_sql(NO_COMPILER).execute(&mut connection).await?;
        }
        Ok(Self { connection, begin: None })
    }

    fn pooled(connection: PgConnection) -> Self {
        let begin = if has_compiler(&connection) { BEGIN } else { BEGIN_ON_POSTGRES_10 };
        Self { connection, begin: Some(begin) }
    }

    /// Begins one try of a batch, which the server gives up at the moment `end`, or as the session has it. A single statement
    /// is a transaction of its own, and needs one around it only for settings.
    pub(super) async fn attempt(
        &mut self,
        end: Option<Instant>,
    ) -> Result<Attempt<'_>, sqlx::Error> {
        let keeps_statements = self.begin.is_none();
        let begin = match (self.begin, end) {
            (None, None) => return Ok(Attempt::Direct(&mut self.connection)),
            (Some(begin), None) => AssertSqlSafe(begin.to_owned()),
            (begin, Some(end)) => {
                // 0 would be no limit.
                let limit = end.duration_since(Instant::now()).as_millis().max(1);
                let begin = begin.unwrap_or("begin");
                AssertSqlSafe(format!("{begin}; set local statement_timeout = {limit}"))
            }
        };
        let transaction = self.connection.begin_with(begin).await?;
        Ok(Attempt::Transaction { transaction, keeps_statements })
    }

    /// Whether the server is a standby, or a primary that is being replaced.
    pub(super) async fn is_read_only(&mut self) -> Result<bool, sqlx::Error> {
        Ok(setting(&mut self.connection, "show transaction_read_only").await? == "on")
    }

    /// Asks whether the server answers.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.connection.ping().await
    }

    /// The connection, to close it.
    pub(super) fn into_connection(self) -> PgConnection {
        self.connection
    }
}

/// One try of a batch.
pub(super) enum Attempt<'a> {
    Direct(&'a mut PgConnection),
    Transaction { transaction: Transaction<'a, Postgres>, keeps_statements: bool },
}

impl Attempt<'_> {
    /// What its statements run on.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Direct(connection) => connection,
            Self::Transaction { transaction, .. } => transaction,
        }
    }

    /// Whether a statement that was prepared in it is there in the next one.
    pub(super) fn keeps_statements(&self) -> bool {
        matches!(self, Self::Direct(_) | Self::Transaction { keeps_statements: true, .. })
    }

    /// Ends it: what it has done holds if `outcome` is good.
    pub(super) async fn end<T>(self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match (self, outcome) {
            (Self::Direct(_), outcome) => outcome,
            (Self::Transaction { transaction, .. }, Ok(done)) => {
                transaction.commit().await.map(|()| done)
            }
            (Self::Transaction { transaction, .. }, Err(error)) => {
                // The first error says more than a second one.
                let _ = transaction.rollback().await;
                Err(error)
            }
        }
    }
}

fn has_compiler(connection: &PgConnection) -> bool {
    connection.server_version_num().is_some_and(|version| version >= COMPILER_SINCE)
}

/// Asked in one message, which a pooler passes to one session.
async fn setting(connection: &mut PgConnection, show: &'static str) -> Result<String, sqlx::Error> {
    let row = sqlx::raw_sql(show).fetch_one(connection).await?;
    sqlx::Row::try_get(&row, 0)
}

/// PgBouncer's `unsupported startup parameter` (a `protocol_violation`).
fn is_refused_setting(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("08P01") && error.message().contains("startup parameter")
    })
}
