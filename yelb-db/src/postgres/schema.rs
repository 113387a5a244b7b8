//! The schema: migrations, and a row for every choice of the poll.

use sqlx::{Connection, PgConnection, Postgres, Transaction};
use yelb_poll::Poll;

use crate::error::StoreError;
use crate::migrations;
use crate::open::Migrate;

/// One transaction for all: in between, a pooler would be free to give the session to another client. Each statement sees what
/// another process has committed before it.
const BEGIN: &str = "begin isolation level read committed";
/// What is done before migrations are applied, which end with their transaction: two processes do not migrate at once, and one
/// that cannot lock a table steps back, because every vote queues behind it. The number is any that is the same for all.
const MIGRATION_LOCKS: &str =
    "set local lock_timeout = '5s'; select pg_advisory_xact_lock(8702361195402)";
/// Statements are prepared for a session, which a pooler lends to others afterwards.
const FORGET_STATEMENTS: &str = "deallocate all";

/// Brings schema and rows up to date, or says what is missing. Answers with how many migrations were applied.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    migrate: Migrate,
    poll: &Poll,
) -> Result<usize, StoreError> {
    let mut transaction =
        connection.begin_with(BEGIN).await.map_err(StoreError::doing("begin a transaction"))?;
    let pending = pending(&mut transaction).await?;
    let applied = match migrate {
        _ if pending.is_empty() => pending,
        Migrate::Never => return Err(pending_error(&pending)),
        Migrate::Auto => apply(&mut transaction).await?,
    };
    add_missing(&mut transaction, poll).await?;
    check_rights(&mut transaction).await?;
    end(transaction).await.map_err(StoreError::doing("commit what was prepared"))?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.join(", "), "schema is up to date");
    }
    Ok(applied.len())
}

async fn end(mut transaction: Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(FORGET_STATEMENTS).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Applies what is pending once no other process does, which may have been faster, and answers with it.
async fn apply(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let doing = StoreError::doing("wait for another process that applies migrations");
    sqlx::raw_sql(MIGRATION_LOCKS).execute(&mut *connection).await.map_err(doing)?;
    let pending = pending(connection).await?;
    let migrated = migrations::POSTGRES.run_direct(None, connection, false).await;
    migrated.map_err(StoreError::doing("apply the migrations"))?;
    Ok(pending)
}

/// The migrations that the database lacks, by number and name. Reads only: the database may be a read-only replica.
async fn pending(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let applied = applied(connection)
        .await
        .map_err(StoreError::doing("read which migrations are applied"))?;
    let missing =
        migrations::POSTGRES.iter().filter(|migration| !applied.contains(&migration.version));
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

/// The rights without which no vote with a key is counted, and so none of the page's: as the commands that grant them. (Another
/// role may have made the tables, and a right on one column will do.)
const MISSING_RIGHTS: &str = "select string_agg(format('grant %s on %s to %I', lower(privilege), relation, current_user), '; ' order by relation, privilege)
     from (values ('restaurants', 'SELECT'), ('restaurants', 'UPDATE'), ('vote_keys', 'SELECT'), ('vote_keys', 'INSERT'),
         ('vote_keys_2', 'SELECT'), ('vote_keys_2', 'INSERT'), ('vote_keys_turn', 'SELECT')) as needed (relation, privilege)
     where not has_any_column_privilege(relation, privilege)";

async fn check_rights(connection: &mut PgConnection) -> Result<(), StoreError> {
    let missing: Option<String> = sqlx::query_scalar(MISSING_RIGHTS)
        .fetch_one(connection)
        .await
        .map_err(StoreError::doing("ask for the rights of the role"))?;
    missing.map_or(Ok(()), |grants| {
        Err(StoreError::NotReady(format!(
            "the role of the app server lacks rights; run `{grants}`"
        )))
    })
}

fn pending_error(pending: &[String]) -> StoreError {
    let pending = pending.join(", ");
    StoreError::NotReady(format!(
        "migrations are pending ({pending}); run `yelb-appserver migrate`"
    ))
}
