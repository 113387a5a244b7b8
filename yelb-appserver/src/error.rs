//! The errors of handlers, and the answers that clients get.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use yelb_db::{InvalidKey, StoreError};
use yelb_service::problem::Problem;

/// Why a request failed.
///
/// A store's failure is 503: it is the dependency's outage, not our defect, and may be tried again. So is a full queue.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A vote was not confirmed.
    #[error("a vote was not confirmed")]
    Vote(#[source] StoreError),
    /// The votes could not be read.
    #[error("the votes cannot be read")]
    Tally(#[source] StoreError),
    /// A page view was not confirmed.
    #[error("a page view was not confirmed")]
    PageView(#[source] StoreError),
    /// The `Idempotency-Key` is malformed.
    #[error("a vote was refused")]
    InvalidKey(#[source] InvalidKey),
    /// The `Idempotency-Key` is that of another vote.
    #[error("a vote was refused")]
    KeyReused,
}

impl ApiError {
    /// The status, and a sentence for the client.
    fn answer(&self) -> (StatusCode, &'static str) {
        let unavailable = |detail| (StatusCode::SERVICE_UNAVAILABLE, detail);
        match self {
            Self::Vote(StoreError::Overloaded)
            | Self::Tally(StoreError::Overloaded)
            | Self::PageView(StoreError::Overloaded) => {
                unavailable("Too many requests are waiting. This one was not counted. Retry later.")
            }
            Self::Vote(StoreError::Down) => unavailable(
                "The store of the votes is down. The vote was not counted. Retry later.",
            ),
            Self::Vote(StoreError::Refused { .. }) => unavailable(
                "The store of the votes refused the vote. It was not counted. The app server's log has the reason.",
            ),
            Self::Vote(_) => unavailable(
                "The vote may or may not have been counted. Retry with the same Idempotency-Key.",
            ),
            Self::Tally(_) => unavailable("The votes cannot be read at the moment. Retry later."),
            Self::PageView(_) => {
                unavailable("Page views cannot be counted at the moment. Votes do not need them.")
            }
            Self::InvalidKey(_) => (
                StatusCode::BAD_REQUEST,
                "The Idempotency-Key is malformed: 1 to 255 visible ASCII characters. The vote was not counted.",
            ),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "This Idempotency-Key was used to vote for another restaurant. Send a new key for a new vote.",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self.answer() {
            (StatusCode::SERVICE_UNAVAILABLE, detail) => {
                Problem::unavailable(detail).because(self).into_response()
            }
            (status, detail) => Problem::new(status, detail).into_response(),
        }
    }
}
