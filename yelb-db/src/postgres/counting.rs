//! Counting a round: one statement, which is one commit.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::{Counted, Restaurant, Round};

/// A restaurant's name and its count after the round, and how many of the votes it counted had a key.
type Total = (String, i64, i64);
/// A key, whom its vote was for, and the count that it made.
type Remembered = (String, String, i64);

/// How often a round is tried. Another app server may have counted a key of it in the meantime; the next try finds it, and
/// may meet a third.
const TRIES: usize = 5;

/// Counts a round. Missing rows are made.
pub(super) async fn count(
    connection: &mut PgConnection,
    round: &Round,
) -> Result<Counted, sqlx::Error> {
    for _ in 1..TRIES {
        match try_count(connection, round).await {
            Ok(Some(counted)) => return Ok(counted),
            Ok(None) => add_rows(connection, round).await?,
            Err(error) if met_another(&error) => {}
            Err(error) => return Err(error),
        }
    }
    try_count(connection, round).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Counts a round, or does nothing and answers `None` if a row is missing.
async fn try_count(
    connection: &mut PgConnection,
    round: &Round,
) -> Result<Option<Counted>, sqlx::Error> {
    let (totals, remembered) = if round.keyed().is_empty() {
        (add_plain(connection, round).await?, Vec::new())
    } else {
        add_all(connection, round).await?
    };
    let before = |(restaurant, votes): &(Restaurant, i64)| {
        let (_, count, keyed) = totals.iter().find(|(name, ..)| name == restaurant.name())?;
        Some(count - keyed - votes)
    };
    let mut answers: HashMap<String, (String, i64)> =
        remembered.into_iter().map(|(key, name, count)| (key, (name, count))).collect();
    let before = round.plain().iter().map(before).collect::<Option<_>>();
    let keyed = round.keyed().iter().map(|(key, _)| answers.remove(key.as_str()));
    let keyed = keyed.collect::<Option<_>>();
    Ok(before.zip(keyed).map(|(before, keyed)| Counted { before, keyed }))
}

/// The votes of a round in which none has a key.
///
/// The rows are locked in the order of their names, so that two app servers never wait for each other in a circle. The
/// casts let it work on the original's `integer` as well as on our `bigint`.
async fn add_plain(
    connection: &mut PgConnection,
    round: &Round,
) -> Result<Vec<Total>, sqlx::Error> {
    let (names, votes) = plain_columns(round);
    sqlx::query_as(
        "with added as (
             select name::bpchar as name, votes from unnest($1::text[], $2::bigint[]) as added (name, votes)
         ), locked as materialized (
             select restaurants.name from restaurants join added on restaurants.name = added.name
             order by restaurants.name for update of restaurants
         )
         update restaurants set count = coalesce(restaurants.count, 0) + added.votes
         from added
         where restaurants.name = added.name
             and (select count(distinct name) from locked) = (select count(*) from added)
         returning restaurants.name::text, restaurants.count::bigint, 0::bigint",
    )
    .bind(names)
    .bind(votes)
    .fetch_all(connection)
    .await
}

/// The same for a round with keys: those that are not known are counted, after the votes without a key, and remembered
/// with the count that each has made.
///
/// A key that another app server is counting at this moment violates the primary key, and nothing of the round is counted.
async fn add_all(
    connection: &mut PgConnection,
    round: &Round,
) -> Result<(Vec<Total>, Vec<Remembered>), sqlx::Error> {
    let (names, votes) = plain_columns(round);
    let (keys, keyed_names): (Vec<&str>, Vec<&str>) =
        round.keyed().iter().map(|(key, restaurant)| (key.as_str(), restaurant.name())).unzip();
    let rows: Vec<(Option<String>, String, i64, i64)> = sqlx::query_as(
        "with asked as (
             select key, name::bpchar as name, place
             from unnest($3::text[], $4::text[]) with ordinality as asked (key, name, place)
         ), known as (
             select key, name, count from vote_keys where key = any($3::text[])
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
         ), locked as materialized (
             select restaurants.name from restaurants join added on restaurants.name = added.name
             order by restaurants.name for update of restaurants
         ), counted as (
             update restaurants set count = coalesce(restaurants.count, 0) + added.votes
             from added
             where restaurants.name = added.name
                 and (select count(distinct name) from locked) = (select count(*) from added)
             returning restaurants.name, restaurants.count::bigint as count, added.keyed
         ), remembered as (
             insert into vote_keys (key, name, count)
             select fresh.key, fresh.name, counted.count - counted.keyed + fresh.place
             from fresh join counted on fresh.name = counted.name
             returning key, name, count
         )
         select null as key, name::text, count, keyed from counted
         union all
         select key, name::text, count, 0 from remembered
         union all
         select key, name::text, count, 0 from known",
    )
    .bind(names)
    .bind(votes)
    .bind(keys)
    .bind(keyed_names)
    .fetch_all(connection)
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

async fn add_rows(connection: &mut PgConnection, round: &Round) -> Result<(), sqlx::Error> {
    let plain = round.plain().iter().map(|(restaurant, _)| restaurant);
    let restaurants = plain.chain(round.keyed().iter().map(|(_, restaurant)| restaurant));
    sqlx::query(
        "insert into restaurants (name, count)
         select distinct name, 0 from unnest($1::text[]) as added (name)
         where not exists (select from restaurants where restaurants.name = added.name::bpchar)
         on conflict do nothing",
    )
    .bind(restaurants.map(ToString::to_string).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

fn plain_columns(round: &Round) -> (Vec<&str>, Vec<i64>) {
    round.plain().iter().map(|(restaurant, votes)| (restaurant.name(), *votes)).unzip()
}

/// Whether the statement failed because of what another app server was doing with the same keys: nothing was counted, and
/// it can be tried again. (`unique_violation`, `deadlock_detected`)
fn met_another(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("23505" | "40P01"))
}
