//! What can go wrong behind a handler, and what the client is told of it.

use axum::response::{IntoResponse, Response};
use yelb_service::problem::Problem;

use crate::page_views::ViewsError;
use crate::rounds::RoundError;
use crate::votes::VotesError;

/// A store failed. All of it is 503: it is the dependency's outage, not our defect, and may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The votes: the outcome of a vote is unknown, it may or may not have been counted.
    #[error("the votes are unavailable")]
    Votes(#[source] RoundError<VotesError>),
    /// The page views.
    #[error("the page views are unavailable")]
    PageViews(#[source] RoundError<ViewsError>),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = match self {
            Self::Votes(RoundError::Full) | Self::PageViews(RoundError::Full) => {
                "Too many requests are waiting. This one was not counted."
            }
            Self::Votes(_) => {
                "The database of the votes cannot be reached. A vote was not confirmed."
            }
            Self::PageViews(_) => "The counter of page views cannot be reached.",
        };
        Problem::unavailable(detail).because(self).into_response()
    }
}
