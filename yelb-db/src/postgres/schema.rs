//! The schema: migrations, and a row for every choice of the poll.

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use yelb_poll::Poll;

use crate::Migrate;
use crate::error::StoreError;

static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    // A newer release may have been here before it was rolled back.
    migrations.ignore_missing = true;
    migrations
};

/// A migration that cannot have its lock steps back: while it queues for one, every vote queues behind it.
const MIGRATION_LOCK_LIMIT: &str = "set lock_timeout = '5s'";

/// Brings schema and rows up to date, or says what is missing.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    migrate: Migrate,
    poll: &Poll,
) -> Result<(), StoreError> {
    let pending = pending(connection).await?;
    match migrate {
        _ if pending.is_empty() => {}
        Migrate::Never => return Err(pending_error(&pending)),
        Migrate::Auto => {
            let doing = StoreError::doing("limit the wait for locks");
            sqlx::query(MIGRATION_LOCK_LIMIT).execute(&mut *connection).await.map_err(doing)?;
            // A failed run leaves the lock of the migrations with this session, which ends with it.
            MIGRATIONS
                .run_direct(None, connection, false)
                .await
                .map_err(StoreError::doing("apply the migrations"))?;
            tracing::info!(migrations = pending.join(", "), "schema is up to date");
        }
    }
    add_missing(connection, poll).await
}

/// The migrations that the database lacks, by number and name. Reads only: the database may be a read-only replica.
pub(super) async fn pending(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
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

fn pending_error(pending: &[String]) -> StoreError {
    let pending = pending.join(", ");
    StoreError::NotReady(format!(
        "migrations are pending ({pending}); run `yelb-appserver migrate`"
    ))
}
