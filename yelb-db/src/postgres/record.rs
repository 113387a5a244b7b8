//! Counting a batch of votes: one statement, which is one commit.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::session::{Attempt, BatchSession};
use crate::votes::{CountedBatch, VoteBatch};

/// A choice, its count after the batch, and how many of the votes that were counted for it had a key.
type Total = (String, i64, i64);
/// A key, what its vote was for, and the count that it made.
type Remembered = (String, String, i64);

/// How often a batch is tried. Another app server may have counted a key of it in the meantime; the next try finds it, and
/// may meet a third.
const TRIES: usize = 5;

/// When the last try of a batch may begin: by the timeout of its statement, it ends within the batch's time.
const LATEST_TRY: Duration = Duration::from_millis(600);

/// Counts a batch. Missing rows are made. The server gives it up at the moment `end`, or as the session has it.
pub(super) async fn record(
    session: &mut BatchSession,
    batch: &VoteBatch<'_>,
    end: Option<Instant>,
) -> Result<CountedBatch, sqlx::Error> {
    let columns = Columns::new(batch);
    let last_try = end.unwrap_or_else(|| Instant::now() + LATEST_TRY);
    let mut tries = 1;
    loop {
        let is_last = tries == TRIES || last_try <= Instant::now();
        match try_record(session, &columns, end).await {
            Ok(Some(counted)) => return Ok(counted),
            Ok(None) if is_last => return Err(sqlx::Error::RowNotFound),
            Ok(None) => add_rows(session, &columns, end).await?,
            Err(error) if is_last || !is_conflict(&error) => return Err(error),
            Err(_) => {}
        }
        tries += 1;
    }
}

/// A batch as the statements bind it.
struct Columns<'a> {
    /// What the votes without a key are for, and how many they are for each.
    names: Vec<&'a str>,
    votes: Vec<i64>,
    /// The keys, and what the vote of each is for.
    keys: Vec<&'a str>,
    keyed_names: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn new(batch: &VoteBatch<'a>) -> Self {
        let (names, votes) = batch.plain.iter().copied().unzip();
        let (keys, keyed_names) = batch.keyed.iter().copied().unzip();
        Self { names, votes, keys, keyed_names }
    }
}

/// Counts a batch, or does nothing and answers `None` if a row is missing.
async fn try_record(
    session: &mut BatchSession,
    columns: &Columns<'_>,
    end: Option<Instant>,
) -> Result<Option<CountedBatch>, sqlx::Error> {
    let mut attempt = session.attempt(end).await?;
    let added = add(&mut attempt, columns).await;
    let (totals, remembered) = attempt.end(added).await?;
    let before = |(name, votes): (&&str, &i64)| {
        let (_, count, keyed) = totals.iter().find(|(counted, ..)| counted == name)?;
        Some(count - keyed - votes)
    };
    let before = columns.names.iter().zip(&columns.votes).map(before).collect::<Option<_>>();
    let mut answers: HashMap<String, (String, i64)> =
        remembered.into_iter().map(|(key, name, count)| (key, (name, count))).collect();
    let keyed = columns.keys.iter().map(|key| answers.remove(*key)).collect::<Option<_>>();
    match before.zip(keyed) {
        Some((before, keyed)) => Ok(Some(CountedBatch { before, keyed })),
        None if totals.is_empty() => Ok(None),
        // A trigger or a rule of the table has its own view of what an update is.
        None => Err(sqlx::Error::Protocol("a part of the batch was not counted".to_owned())),
    }
}

async fn add(
    attempt: &mut Attempt<'_>,
    columns: &Columns<'_>,
) -> Result<(Vec<Total>, Vec<Remembered>), sqlx::Error> {
    if columns.keys.is_empty() {
        Ok((add_plain(attempt, columns).await?, Vec::new()))
    } else {
        add_all(attempt, columns).await
    }
}

/// The votes of a batch in which none has a key.
///
/// The rows are locked in the order of their names, so that two app servers never wait for each other in a circle. A query
/// that locks is always run apart from the rest (not only where it says `materialized`, which PostgreSQL 10 and 11 do not
/// know). The casts let it work on the original's `integer` as well as on our `bigint`.
async fn add_plain(
    attempt: &mut Attempt<'_>,
    columns: &Columns<'_>,
) -> Result<Vec<Total>, sqlx::Error> {
    sqlx::query_as(
        "with added as (
             select name::bpchar as name, votes from unnest($1::text[], $2::bigint[]) as added (name, votes)
         ), locked as (
             select restaurants.name from restaurants join added on restaurants.name = added.name
             order by restaurants.name for update of restaurants
         )
         update restaurants set count = coalesce(restaurants.count, 0) + added.votes
         from added
         where restaurants.name = added.name
             and (select count(distinct name) from locked) = (select count(*) from added)
         returning restaurants.name::text, restaurants.count::bigint, 0::bigint",
    )
    .persistent(attempt.keeps_statements())
    .bind(&columns.names)
    .bind(&columns.votes)
    .fetch_all(attempt.connection())
    .await
}

/// See [`add_all`].
const ADD_ALL: &str = "with asked as (
         select key, name::bpchar as name, place
         from unnest($3::text[], $4::text[]) with ordinality as asked (key, name, place)
     ), known as (
         select key, name, count from vote_keys where key = any($3::text[])
         union all
         select key, name, count from vote_keys_2 where key = any($3::text[])
     ), fresh as (
         select key, name, row_number() over (partition by name order by place) as place
         from asked where key not in (select key from known)
     ), added as (
         select name, sum(votes)::bigint as votes, sum(keyed)::bigint as keyed
         from (
             select name::bpchar as name, votes, 0 as keyed
             from unnest($1::text[], $2::bigint[]) as plain (name, votes)
             union all
             select name, 1, 1 from fresh
         ) as parts
         group by name
     ), locked as (
         select restaurants.name from restaurants join added on restaurants.name = added.name
         order by restaurants.name for update of restaurants
     ), counted as (
         update restaurants set count = coalesce(restaurants.count, 0) + added.votes
         from added
         where restaurants.name = added.name
             and (select count(distinct name) from locked) = (select count(*) from added)
         returning restaurants.name, restaurants.count::bigint as count, added.keyed
     ), made as (
         select fresh.key, fresh.name, counted.count - counted.keyed + fresh.place as count
         from fresh join counted on fresh.name = counted.name
     ), turn as (
         select exists (select from vote_keys_turn where id = 1 and second) as second
     ), first as (
         insert into vote_keys (key, name, count)
         select made.* from made, turn where not turn.second
     ), second as (
         insert into vote_keys_2 (key, name, count)
         select made.* from made, turn where turn.second
     )
     select null as key, name::text, count, keyed from counted
     union all
     select key, name::text, count, 0 from made
     union all
     select key, name::text, count, 0 from known";

/// The same for a batch with keys: those that are not known are counted, after the votes without a key, and remembered
/// with the count that each has made.
///
/// A key that another app server is counting at this moment violates the primary key, and nothing of the batch is counted.
/// The keys are in two tables ([`super::keys`]).
async fn add_all(
    attempt: &mut Attempt<'_>,
    columns: &Columns<'_>,
) -> Result<(Vec<Total>, Vec<Remembered>), sqlx::Error> {
    let rows: Vec<(Option<String>, String, i64, i64)> = sqlx::query_as(ADD_ALL)
        .persistent(attempt.keeps_statements())
        .bind(&columns.names)
        .bind(&columns.votes)
        .bind(&columns.keys)
        .bind(&columns.keyed_names)
        .fetch_all(attempt.connection())
        .await?;
    Ok(sorted(rows))
}

fn sorted(rows: Vec<(Option<String>, String, i64, i64)>) -> (Vec<Total>, Vec<Remembered>) {
    let (mut totals, mut remembered) = (Vec::new(), Vec::new());
    for (key, name, count, keyed) in rows {
        match key {
            None => totals.push((name, count, keyed)),
            Some(key) => remembered.push((key, name, count)),
        }
    }
    (totals, remembered)
}

async fn add_rows(
    session: &mut BatchSession,
    columns: &Columns<'_>,
    end: Option<Instant>,
) -> Result<(), sqlx::Error> {
    let mut attempt = session.attempt(end).await?;
    let insert = sqlx::query(
        "insert into restaurants (name, count)
         select distinct name, 0 from unnest($1::text[]) as added (name)
         where not exists (select from restaurants where restaurants.name = added.name::bpchar)
         on conflict do nothing",
    )
    .persistent(attempt.keeps_statements())
    .bind([&*columns.names, &*columns.keyed_names].concat());
    let added = insert.execute(attempt.connection()).await.map(drop);
    attempt.end(added).await
}

/// Whether the statement failed because of what another app server was doing with the same keys: nothing was counted, and
/// it can be tried again. (`unique_violation`, `deadlock_detected`, `serialization_failure`)
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "40P01" | "40001"))
}
