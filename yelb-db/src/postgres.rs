//! PostgreSQL: the original's table, adopted or made.

mod keys;
mod record;
mod schema;
mod session;
mod settle;
mod source;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use url::Url;
use yelb_poll::Poll;
use yelb_resolver::Resolver;

use self::session::BatchSession;
use self::source::Source;
use crate::batcher::{Batcher, Outputs, Session, Workers};
use crate::error::StoreError;
use crate::kind::{Description, StoreKind};
use crate::maintenance::{self, Maintain};
use crate::open::{Migrate, StoreServer};
use crate::password::Password;
use crate::status::StatusSender;
use crate::votes::{Recorded, Tally, Vote, VoteStore};

static VOTES: StoreKind = StoreKind {
    keeps: "votes",
    name: "postgresql",
    system: "postgresql",
    // Its name in every deployment of the original.
    node: Some("yelb-db"),
    write: "UPDATE restaurants",
    read: "SELECT restaurants",
};

/// What sqlx reads of a URL's query, besides `options[…]`.
const PARAMETERS: &str = "application_name dbname host hostaddr options password port ssl-ca ssl-cert ssl-key ssl-mode \
     ssl-root-cert sslcert sslkey sslmode sslrootcert statement-cache-capacity user";

/// Where the database is and how to log in.
#[derive(Clone)]
pub struct PostgresOptions {
    server: Box<PgConnectOptions>,
    /// Instead of the one in `server`.
    password: Option<Password>,
    /// Parameters of the URL that are ignored, by name: a value may be a secret.
    ignored: Vec<String>,
}

impl StoreServer for PostgresOptions {
    const NAME: &str = "PostgreSQL";
    const FORM: &str = "postgres://user@host:5432/database";
    const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

    fn from_url(url: &Url) -> Result<Self, &'static str> {
        let is_host = |name: &str| matches!(name, "host" | "hostaddr");
        let names_host = url.host().is_some() || url.query_pairs().any(|(name, _)| is_host(&name));
        if !names_host {
            return Err("a URL without a host");
        }
        let mut server =
            PgConnectOptions::from_url(url).map_err(|_| "a URL with parts that cannot be used")?;
        // PostgreSQL's programs would take the one that is named like the user.
        if server.get_database().is_none() {
            return Err("a URL without a database");
        }
        // As sqlx takes it from the URL, an IPv6 address is in brackets, and would be looked up as a name.
        if server.get_host().starts_with('[') {
            let address = server.get_host().trim_matches(['[', ']']).to_owned();
            server = server.host(&address);
        }
        let is_known = |name: &str| {
            name.starts_with("options[") || PARAMETERS.split(' ').any(|known| known == name)
        };
        let names = url.query_pairs().map(|(name, _)| name.into_owned());
        let ignored = names.filter(|name| !is_known(name));
        let server = Box::new(server.disable_statement_logging());
        Ok(Self { server, password: None, ignored: ignored.collect() })
    }

    fn with_password(self, password: Password) -> Self {
        Self { password: Some(password), ..self }
    }
}

impl PostgresOptions {
    /// Host and port, for people.
    fn address(&self) -> String {
        format!("{}:{}", self.server.get_host(), self.server.get_port())
    }

    fn describe(&self) -> Description {
        Description {
            kind: &VOTES,
            namespace: self.server.get_database().map(str::to_owned),
            address: Some((self.server.get_host().to_owned(), self.server.get_port())),
        }
    }
}

impl fmt::Debug for PostgresOptions {
    /// Without the login, which the driver's own would print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({})", self.address())
    }
}

/// Opens the votes in a database, which need not be there yet.
pub(crate) fn open(
    options: PostgresOptions,
    migrate: Migrate,
    poll: Poll,
    resolver: Resolver,
    keys_kept: Duration,
    workers: &Workers,
) -> VoteStore {
    for parameter in &options.ignored {
        tracing::warn!(
            parameter,
            "the URL of the votes has a parameter that is not known: {parameter}; it is ignored; check its spelling"
        );
    }
    let description = Arc::new(options.describe());
    let database = Database { options, migrate, poll, resolver, keys_kept };
    let writer = StatusSender::new(&VOTES);
    let reader = writer.for_reader();
    maintenance::start(database.clone(), writer.clone(), workers);
    VoteStore {
        status: writer.receiver(),
        read: Batcher::start::<Reader>(
            database.clone(),
            reader,
            Some(writer.writer_connections()),
            workers,
        ),
        record: Batcher::start::<Writer>(
            (database, Source::new(writer.clone())),
            writer,
            None,
            workers,
        ),
        description,
    }
}

/// Applies the pending migrations, once, and answers with how many there were.
pub(crate) async fn migrate(
    options: PostgresOptions,
    poll: Poll,
    resolver: Resolver,
    keys_kept: Duration,
) -> Result<usize, StoreError> {
    let database = Database { options, migrate: Migrate::Auto, poll, resolver, keys_kept };
    let mut connection = database.log_in("yelb-appserver migrate").await?;
    schema::prepare(&mut connection, Migrate::Auto, &database.poll).await
}

/// A database, and what it is to have.
#[derive(Debug, Clone)]
struct Database {
    options: PostgresOptions,
    migrate: Migrate,
    poll: Poll,
    resolver: Resolver,
    keys_kept: Duration,
}

impl Database {
    /// How to log in to the server that has the name now. `application` is what an operator sees in `pg_stat_activity`.
    async fn options(&self, application: &str) -> Result<PgConnectOptions, StoreError> {
        let PostgresOptions { server, password, .. } = &self.options;
        let host = self.resolver.qualify(server.get_host()).await;
        let options = server.as_ref().clone().host(&host).application_name(application);
        // Without a parameter that poolers refuse, and that is for numbers with a fraction.
        let mut options = options.extra_float_digits(None);
        if let Some(password) = password {
            let password = password.read().await.map_err(StoreError::doing("log in"))?;
            options = options.password(password.expose_secret());
        }
        Ok(options)
    }

    async fn log_in(&self, application: &str) -> Result<PgConnection, StoreError> {
        let options = self.options(application).await?;
        let connection = PgConnection::connect_with(&options).await;
        connection.map_err(|error| {
            let is_at_limit = keys::has_code(&error, TOO_MANY_CONNECTIONS);
            let refused = StoreError::connecting_to(&self.options.address())(error);
            if is_at_limit {
                StoreError::NotReady(format!("{}; {RAISE_THE_LIMIT}", refused.chain()))
            } else {
                refused
            }
        })
    }

    /// A session for batches.
    async fn begin_session(&self) -> Result<BatchSession, StoreError> {
        let options = self.options("yelb-appserver").await?;
        let session = BatchSession::connect(&options).await;
        session.map_err(StoreError::connecting_to(&self.options.address()))
    }
}

/// The code of the server's limit for the role, for the database, or for all clients.
const TOO_MANY_CONNECTIONS: &str = "53300";
const RAISE_THE_LIMIT: &str =
    "raise the limit: an app server keeps two sessions, and opens a third one for a moment";

impl Maintain for Database {
    async fn prepare(&self) -> Result<(), StoreError> {
        let login = self.log_in("yelb-appserver maintenance").await;
        let mut connection = login.map_err(|reason| {
            if matches!(reason, StoreError::NotReady(_)) {
                return reason;
            }
            tracing::debug!(reason = reason.chain(), "cannot log in to prepare the database");
            StoreError::Down
        })?;
        schema::prepare(&mut connection, self.migrate, &self.poll).await?;
        close(connection).await;
        Ok(())
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let mut connection = self.log_in("yelb-appserver maintenance").await?;
        keys::delete_old(&mut connection, self.keys_kept).await?;
        close(connection).await;
        Ok(())
    }
}

/// A session that counts.
struct Writer {
    session: BatchSession,
    names: Vec<&'static str>,
    source: Source,
}

impl Session for Writer {
    type Store = (Database, Source);
    type Input = Vote;
    type Output = Recorded;

    async fn connect((database, source): &(Database, Source)) -> Result<Self, StoreError> {
        let mut session = database.begin_session().await?;
        check_writable(&mut session).await?;
        let (names, source) = (database.poll.names(), source.clone());
        if let Err(error) = source.compare(&mut session, &names).await {
            // Such as a table that a migration has locked. What is wrong with it is told where it is counted in.
            tracing::debug!(%error, "the database was not compared with the one of before");
        }
        Ok(Self { session, names, source })
    }

    async fn run(&mut self, votes: &[Vote]) -> Outputs<Recorded> {
        let outputs = settle::settle(&mut self.session, &self.names, votes).await?;
        self.source.acknowledge(votes, &outputs);
        Ok(outputs)
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        check_writable(&mut self.session).await
    }

    async fn close(self) {
        close(self.session.into_connection()).await;
    }
}

/// A standby, and a primary that is being replaced, say that they are read-only. The name may lead to another server by now.
async fn check_writable(session: &mut BatchSession) -> Result<(), StoreError> {
    let read_only = session.is_read_only().await;
    if read_only.map_err(StoreError::doing("ask whether the server can be written to"))? {
        return Err(StoreError::NotReady("the server is read-only".to_owned()));
    }
    Ok(())
}

/// A session that reads.
struct Reader(BatchSession, Vec<&'static str>);

impl Session for Reader {
    type Store = Database;
    type Input = ();
    type Output = Arc<Tally>;

    async fn connect(database: &Database) -> Result<Self, StoreError> {
        Ok(Self(database.begin_session().await?, database.poll.names()))
    }

    async fn run(&mut self, batch: &[()]) -> Outputs<Arc<Tally>> {
        let Self(session, names) = self;
        let rows = read(session, names).await.map_err(StoreError::doing("read the votes"))?;
        Ok(Tally::new(names, &rows).shared(batch.len()))
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.0.ping().await.map_err(StoreError::doing("reach the database"))
    }

    async fn close(self) {
        close(self.0.into_connection()).await;
    }
}

async fn read(
    session: &mut BatchSession,
    names: &[&str],
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut attempt = session.attempt(None).await?;
    let query = sqlx::query_as(
        "select name::text, coalesce(count, 0)::bigint from restaurants where name = any($1::text[]::bpchar[])",
    );
    let query = query.persistent(attempt.keeps_statements()).bind(names);
    let rows = query.fetch_all(attempt.connection()).await;
    attempt.end(rows).await
}

/// Says goodbye to the server. What goes wrong then is of no consequence.
async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "cannot close a session with PostgreSQL in order");
    }
}
