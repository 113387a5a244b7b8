//! What can go wrong behind a handler, and what the client is told of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use yelb_db::{InvalidKey, KeyReused};
use yelb_service::problem::Problem;

use crate::page_views::ViewsError;
use crate::rounds::RoundError;
use crate::votes::VotesError;

/// Why a request came to nothing.
///
/// A store's failure is 503: it is the dependency's outage, not our defect, and may be tried again. So is a full queue.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The votes: the outcome of a vote is unknown, it may or may not have been counted.
    #[error("the votes are unavailable")]
    Votes(#[source] RoundError<VotesError>),
    /// The page views.
    #[error("the page views are unavailable")]
    PageViews(#[source] RoundError<ViewsError>),
    /// The `Idempotency-Key` is none.
    #[error("a vote was refused")]
    InvalidKey(#[source] InvalidKey),
    /// The `Idempotency-Key` is that of another vote.
    #[error("a vote was refused")]
    KeyReused(#[source] KeyReused),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Votes(RoundError::Full) | Self::PageViews(RoundError::Full) => {
                Problem::unavailable("Too many requests are waiting. This one was not counted.")
                    .because(self)
            }
            Self::Votes(_) => Problem::unavailable(
                "The votes can be neither counted nor read just now. A vote was not confirmed.",
            )
            .because(self),
            Self::PageViews(_) => {
                Problem::unavailable("Page views cannot be counted just now.").because(self)
            }
            Self::InvalidKey(_) => Problem::new(
                StatusCode::BAD_REQUEST,
                "Idempotency-Key must be 1 to 255 visible ASCII characters.",
            ),
            Self::KeyReused(_) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "This Idempotency-Key was used to vote for another restaurant.",
            ),
        }
        .into_response()
    }
}
