use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use crate::reason::in_words;

/// Why a store did not do what it was asked to. Cloning it is cheap: all inputs of a batch get the same error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no session with the store, and a new one cannot be had. Nothing was sent.
    #[error("the store is down")]
    Down,
    /// Too many inputs are waiting already. This one was not taken.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The store did not answer in time. It may have done what it was asked to.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The store refused, and has done nothing of what it was asked to.
    #[error("cannot {doing}")]
    Refused {
        /// What was attempted.
        doing: &'static str,
        /// The store's reason.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store failed, or the session was lost: the outcome of a vote is unknown.
    #[error("cannot {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// The store's or the driver's reason.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store answers, but something in it is missing or wrong, such as a table. The text says what, and what to do.
    #[error("{0}")]
    NotReady(String),
}

impl StoreError {
    /// For `map_err`: says what was being attempted.
    pub(crate) fn doing<E: Into<Box<dyn Error + Send + Sync>>>(
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Failed { doing, source: in_words(source.into()) }
    }

    /// As [`Self::doing`], for connecting: names the address, which drivers leave out.
    pub(crate) fn connecting_to<E: Into<Box<dyn Error + Send + Sync>>>(
        address: &impl Display,
    ) -> impl FnOnce(E) -> Self {
        let address = address.to_string();
        move |source| Self::doing("connect")(AtAddress { address, source: in_words(source.into()) })
    }

    /// As [`Self::doing`], for what the store refused as a whole.
    pub(crate) fn refused<E: Into<Box<dyn Error + Send + Sync>>>(
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Refused { doing, source: in_words(source.into()) }
    }

    /// The error with all its causes, for `/readyz` and the log.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            // Some drivers repeat the cause in their own text.
            if !text.ends_with(&reason) {
                text = format!("{text}: {reason}");
            }
            cause = error.source();
        }
        text
    }
}

/// The cause of a connection that failed, with the address before it.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
struct AtAddress {
    address: String,
    source: Arc<dyn Error + Send + Sync>,
}
