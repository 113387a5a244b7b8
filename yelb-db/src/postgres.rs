//! PostgreSQL: the original's table, adopted or made.

mod counting;
mod lane;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::Mutex;
use yelb_service::health::Dependency;
use yelb_service::keeper::{self, Link, Store};
use yelb_service::names::Names;
use yelb_service::telemetry::span::Peer;

use crate::sweep::Sweep;
use crate::{Counted, Poll, Round, StoreError};
use lane::Lane;

static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    // A newer release may have been here before it was rolled back.
    migrations.ignore_missing = true;
    migrations
};

/// A round of votes, a round of reads, and one each that was given up and has not noticed yet.
const MAX_CONNECTIONS: u32 = 4;
/// The longest wait for a free connection of the pool.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// The server gives a statement up before we give up waiting for it, so that a vote that was answered 503 because of
/// somebody else's lock is not counted later.
const STATEMENT_LIMIT: &str = "set statement_timeout = '1800ms'";
/// A statement is planned when it is first used, which on a new database is when there is no key yet, and the plan is kept:
/// one that reads the whole table for each round. At 40,000 keys a round of 256 took 240 ms by it instead of 4.
const PLAN_FOR_MANY: &str = "set enable_seqscan = off";
/// A migration that cannot have its lock steps back: while it queues for one, every vote queues behind it.
const MIGRATION_LOCK_LIMIT: &str = "set lock_timeout = '5s'";

/// Where the database is and how to log in.
#[derive(Clone)]
pub struct PostgresOptions(Box<PgConnectOptions>);

impl PostgresOptions {
    /// Reads a `postgres://` URL.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        PgConnectOptions::from_str(url)
            .map(Self::new)
            .map_err(StoreError::doing("read the postgres:// URL"))
    }

    /// The parts of the original's settings.
    pub fn from_parts(
        host: &str,
        port: u16,
        database: &str,
        user: &str,
        password: &SecretString,
    ) -> Self {
        let options = PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(port)
            .database(database)
            .username(user);
        Self::new(options.password(password.expose_secret()))
    }

    /// With this password instead.
    #[must_use]
    pub fn password(self, password: &SecretString) -> Self {
        Self::new(self.0.password(password.expose_secret()))
    }

    fn new(options: PgConnectOptions) -> Self {
        Self(Box::new(options))
    }

    /// The database as traces show it, by the name that it has in every deployment of the original.
    fn peer(&self) -> Peer {
        let database = self.0.get_database().map(str::to_owned);
        let address = (self.0.get_host().to_owned(), self.0.get_port());
        Peer::server("yelb-db", "postgresql", database, Some(address))
    }
}

impl fmt::Debug for PostgresOptions {
    /// Without the login, which the driver's own would print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({}:{})", self.0.get_host(), self.0.get_port())
    }
}

/// Who applies pending migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// This process, when it first reaches the database, under a lock.
    Auto,
    /// Somebody else, as a step of their own.
    Never,
}

/// The votes in PostgreSQL. Cloning it clones a handle to one pool.
#[derive(Debug, Clone)]
pub struct Postgres {
    link: Link<Session>,
    peer: Peer,
    _sweep: Sweep,
}

impl Postgres {
    /// Starts to keep a connection, and tells `dependency` how it goes. Returns at once, whether the database is there
    /// or not.
    pub fn keep(
        options: PostgresOptions,
        migrate: Migrate,
        poll: Poll,
        names: Names,
        dependency: Dependency,
    ) -> Self {
        let peer = options.peer();
        let database =
            Database { options: options.0.disable_statement_logging(), migrate, poll, names };
        let link = keeper::keep(database, dependency);
        Self { _sweep: Sweep::start(link.clone(), forget_keys), link, peer }
    }

    /// Applies the pending migrations, once, and answers with how many there were.
    pub async fn migrate(
        options: PostgresOptions,
        poll: Poll,
        names: Names,
    ) -> Result<usize, StoreError> {
        let database = Database { options: *options.0, migrate: Migrate::Auto, poll, names };
        let mut connection = database.log_in().await?;
        let pending = pending(&mut connection).await?.len();
        prepare(&mut connection, Migrate::Auto, &database.poll).await?;
        Ok(pending)
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) async fn count(&self, round: &Round) -> Result<Counted, StoreError> {
        let session = self.session()?;
        let counted =
            session.counting.run(async |connection| counting::count(connection, round).await);
        counted.await.map_err(|error| self.failed("count votes", error))
    }

    pub(crate) async fn counts(&self, poll: &Poll) -> Result<Vec<(String, i64)>, StoreError> {
        let read = async |connection: &mut PgConnection| {
            sqlx::query_as(
                "select name::text, coalesce(count, 0)::bigint from restaurants where name = any($1::text[]::bpchar[])",
            )
            .bind(poll.names())
            .fetch_all(connection)
            .await
        };
        let rows = self.session()?.reading.run(read).await;
        rows.map_err(|error| self.failed("read the votes", error))
    }

    fn session(&self) -> Result<Session, StoreError> {
        self.link.connection().ok_or(StoreError::Away)
    }

    fn failed(&self, doing: &'static str, error: sqlx::Error) -> StoreError {
        self.link.doubt();
        StoreError::doing(doing)(error)
    }
}

/// Forgets keys that are older than a day, and says how many they were. Nobody else locks a key's row, and nobody waits for
/// this: a retry that comes a day late is a new vote either way.
async fn forget_keys(link: Link<Session>) -> Result<u64, sqlx::Error> {
    let Some(session) = link.connection() else { return Ok(0) };
    let forget = "delete from vote_keys where key in (
            select key from vote_keys where counted_at < now() - interval '1 day' limit 1000 for update skip locked)";
    Ok(sqlx::query(forget).execute(&session.pool).await?.rows_affected())
}

/// The database as its keeper sees it.
struct Database {
    options: PgConnectOptions,
    migrate: Migrate,
    poll: Poll,
    names: Names,
}

/// A pool for the requests, and a connection that the keeper has for itself: a busy pool is not a lost database.
#[derive(Debug, Clone)]
struct Session {
    pool: PgPool,
    counting: Lane,
    reading: Lane,
    own: Arc<Mutex<PgConnection>>,
}

impl Database {
    /// The options with the name under which the host resolves now.
    async fn located(&self) -> PgConnectOptions {
        let host = self.names.qualify(self.options.get_host()).await;
        self.options.clone().host(&host).application_name("yelb-appserver")
    }

    /// A session of the keeper's own, with a name by which an operator knows it.
    async fn log_in(&self) -> Result<PgConnection, StoreError> {
        let options = self.located().await.application_name("yelb-appserver keeper");
        PgConnection::connect_with(&options).await.map_err(StoreError::doing("connect"))
    }
}

impl Store for Database {
    type Connection = Session;
    type Error = StoreError;

    async fn connect(&self) -> Result<Session, StoreError> {
        let own = self.log_in().await?;
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_LIMIT)
            // The keeper replaces the whole pool when the database was away.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query(STATEMENT_LIMIT).execute(&mut *connection).await?;
                    sqlx::query(PLAN_FOR_MANY).execute(connection).await.map(drop)
                })
            })
            .connect_lazy_with(self.located().await);
        // The first requests do not wait for a login.
        let counting = Lane::open(&pool).await.map_err(StoreError::doing("log in"))?;
        let reading = Lane::open(&pool).await.map_err(StoreError::doing("log in"))?;
        Ok(Session { pool, counting, reading, own: Arc::new(Mutex::new(own)) })
    }

    async fn probe(&self, session: &Session) -> Result<(), StoreError> {
        session.own.lock().await.ping().await.map_err(StoreError::doing("reach the database"))
    }

    async fn prepare(&self, session: &Session) -> Result<(), StoreError> {
        prepare(&mut *session.own.lock().await, self.migrate, &self.poll).await
    }
}

/// Brings schema and rows up to date, or says what is missing.
async fn prepare(
    connection: &mut PgConnection,
    migrate: Migrate,
    poll: &Poll,
) -> Result<(), StoreError> {
    let pending = pending(connection).await?;
    match migrate {
        _ if pending.is_empty() => {}
        Migrate::Never => return Err(StoreError::Pending(pending.join(", "))),
        Migrate::Auto => {
            let doing = StoreError::doing("limit the wait for locks");
            sqlx::query(MIGRATION_LOCK_LIMIT).execute(&mut *connection).await.map_err(doing)?;
            let applied = MIGRATIONS.run_direct(None, connection, false).await;
            // A failed run leaves the lock with this session, which lives on; other replicas wait for it.
            let doing = StoreError::doing("give the lock of the migrations back");
            sqlx::query("select pg_advisory_unlock_all()")
                .execute(&mut *connection)
                .await
                .map_err(doing)?;
            applied.map_err(StoreError::Migrate)?;
            tracing::info!(migrations = pending.join(", "), "schema is up to date");
        }
    }
    add_missing(connection, poll).await
}

/// The migrations that the database lacks, by number and name. Reads only: the database may be a read-only replica.
async fn pending(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let applied = applied(connection)
        .await
        .map_err(StoreError::doing("read which migrations are applied"))?;
    let missing = MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version));
    Ok(missing
        .map(|migration| format!("{} {}", migration.version, migration.description))
        .collect())
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !known {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select version from _sqlx_migrations where success")
        .fetch_all(connection)
        .await
}

/// Gives every restaurant of the poll a row. Writes only where one is missing: the database may be a read-only replica.
async fn add_missing(connection: &mut PgConnection, poll: &Poll) -> Result<(), StoreError> {
    let absent: Vec<String> = sqlx::query_scalar(
        "select name from unnest($1::text[]) as poll(name)
         where not exists (select from restaurants where restaurants.name = poll.name::bpchar)",
    )
    .bind(poll.names())
    .fetch_all(&mut *connection)
    .await
    .map_err(StoreError::doing("look for the restaurants of the poll"))?;
    if absent.is_empty() {
        return Ok(());
    }
    sqlx::query("insert into restaurants (name, count) select name, 0 from unnest($1::text[]) as poll(name) on conflict do nothing")
        .bind(absent)
        .execute(connection)
        .await
        .map(drop)
        .map_err(StoreError::doing("add the restaurants of the poll"))
}
