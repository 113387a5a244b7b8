//! The handlers. Each is three moves: take, call, shape.
//!
//! Bodies are the original's to the byte, its spaces included, because clients compare them.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use bytes::Bytes;
use yelb_db::{Count, Restaurant, VoteKey};

use crate::error::ApiError;
use crate::page_views::PageViews;
use crate::votes::Votes;

/// Who answers: the name of the host, as the container or the machine has it.
#[derive(Debug, Clone)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// The name of this host.
    pub fn of_this_host() -> Self {
        Self(gethostname::gethostname().to_string_lossy().into())
    }
}

/// `GET` and `POST /api/{restaurant}`: counts a vote, answers with the count that it made.
///
/// A `GET` that writes, because the original's page and everybody's scripts vote this way.
pub async fn cast(
    State(votes): State<Votes>,
    restaurant: Restaurant,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<impl IntoResponse, ApiError> {
    let count = votes.cast(&restaurant, key).await?;
    Ok(Text(count.to_string()))
}

/// The `Idempotency-Key` of a vote, if it has one (IETF draft-ietf-httpapi-idempotency-key-header).
pub struct IdempotencyKey(Option<VoteKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default().parse().map_err(ApiError::InvalidKey)?;
        Ok(Self(Some(key)))
    }
}

/// `HEAD /api/{restaurant}`: the head of a vote's answer. Counts nothing.
pub async fn count(
    State(votes): State<Votes>,
    restaurant: Restaurant,
) -> Result<impl IntoResponse, ApiError> {
    let tally = votes.tally().await?;
    let mut counts = tally.counts().iter();
    let count = counts.find(|(name, _)| *name == restaurant).map_or(0, |(_, count)| *count);
    Ok(Text(count.to_string()))
}

/// `GET /api/getvotes`: all counts.
pub async fn tally(State(votes): State<Votes>) -> Result<impl IntoResponse, ApiError> {
    let tally = votes.tally().await?;
    Ok(Json(tally.written(list)))
}

/// `GET /api/pageviews`: counts a page view, answers with the count that it made.
pub async fn view(State(page_views): State<PageViews>) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.count().await?;
    Ok(Json(count.to_string().into()))
}

/// `HEAD /api/pageviews`: counts nothing.
pub async fn views(State(page_views): State<PageViews>) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.current().await?;
    Ok(Json(count.to_string().into()))
}

/// `GET /api/getstats`: counts a page view, answers with the count that it made and who answers.
pub async fn view_stats(
    State(page_views): State<PageViews>,
    State(hostname): State<Hostname>,
) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.count().await?;
    Ok(Json(stats(&hostname, count).into()))
}

/// `HEAD /api/getstats`: counts nothing.
pub async fn current_stats(
    State(page_views): State<PageViews>,
    State(hostname): State<Hostname>,
) -> Result<impl IntoResponse, ApiError> {
    let count = page_views.current().await?;
    Ok(Json(stats(&hostname, count).into()))
}

/// `GET /api/hostname`: who answers. Called JSON, and not JSON, as in the original.
pub async fn hostname(State(Hostname(name)): State<Hostname>) -> impl IntoResponse {
    Json(name.to_string().into())
}

/// `[{"name": "a", "value": 1},{"name": "b", "value": 2}, {"name": "c", "value": 3}]`: with a space before the last one,
/// and nowhere else between two.
fn list(tally: &[Count]) -> String {
    let mut list = String::from("[");
    for (place, (restaurant, count)) in tally.iter().enumerate() {
        match place {
            0 => {}
            last if last + 1 == tally.len() => list.push_str(", "),
            _ => list.push(','),
        }
        // Writing to a string cannot fail.
        let _ = write!(list, r#"{{"name": "{restaurant}", "value": {count}}}"#);
    }
    list.push(']');
    list
}

fn stats(Hostname(name): &Hostname, page_views: i64) -> String {
    format!(r#"{{"hostname": "{name}", "pageviews":{page_views}}}"#)
}

/// A body of the type that the original gives to what it calls JSON.
struct Json(Bytes);

impl IntoResponse for Json {
    fn into_response(self) -> axum::response::Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// A body of the type that the original gives to a vote's answer.
struct Text(String);

impl IntoResponse for Text {
    fn into_response(self) -> axum::response::Response {
        ([(header::CONTENT_TYPE, "text/html;charset=utf-8")], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use yelb_db::Poll;

    use super::*;

    #[test]
    fn the_list_has_the_spaces_of_the_original() {
        let tally: Vec<Count> =
            Poll::default().restaurants().iter().cloned().zip([11, 22, 44, 33]).collect();
        assert_eq!(
            list(&tally),
            r#"[{"name": "outback", "value": 11},{"name": "bucadibeppo", "value": 22},{"name": "ihop", "value": 44}, {"name": "chipotle", "value": 33}]"#
        );
    }

    #[test]
    fn the_stats_have_the_spaces_of_the_original() {
        assert_eq!(stats(&Hostname("vm".into()), 101), r#"{"hostname": "vm", "pageviews":101}"#);
    }
}
