//! Failures as HTTP answers: problem details in JSON (RFC 9457), or a line of HTML where a browser asks for a page.
//!
//! An error has two readers. The client sees `title` and `detail`; the operator sees the chain of causes, logged once, by
//! [`observe`](crate::observe).

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;

/// Prints an error with all its causes, one after the other.
///
/// `tracing`'s JSON format drops the causes of a `&dyn Error`, so that they have to be in the text.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

/// A failure, as the client sees it.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this status; `detail` is a sentence for the client.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), retry_after: None, cause: None }
    }

    /// Something that this process needs is down: 503, worth trying again soon.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
    }

    /// There is nothing at this address.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
    }

    /// When the client should retry (`Retry-After`, RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The cause, for the log alone.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// What the operator should know of it, with all causes.
    pub fn report(&self) -> String {
        match &self.cause {
            Some(cause) => Chain(&**cause).to_string(),
            None => self.detail.to_string(),
        }
    }

    fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    fn json(&self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        ([(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }

    /// To the byte what the original answers, where it is asked as the original was.
    fn html(&self) -> Response {
        let body = format!("<h1>{}</h1>", self.title());
        ([(header::CONTENT_TYPE, "text/html;charset=utf-8")], body).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.json();
        *response.status_mut() = self.status;
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether the client is a browser that asks for a page. It then gets a problem as HTML.
pub fn wants_page(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    accepted.iter().any(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// The answer for a browser, which wants a page.
pub fn as_page(response: Response) -> Response {
    match response.extensions().get::<Problem>() {
        Some(problem) if response.status().is_client_error() => {
            let page = problem.html();
            let (mut parts, _) = response.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.extend(page.headers().clone());
            Response::from_parts(parts, page.into_body())
        }
        _ => response,
    }
}

/// The answer, or 500 if the code that makes it panics. A panic is a defect of the server.
pub fn catch_panic<A>(answer: A) -> impl Future<Output = Response>
where
    A: Future<Output = Response>,
{
    let defect = || {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server failed because of a defect. Its log has the cause.",
        )
    };
    // Nothing of the request is used after a panic.
    let caught = AssertUnwindSafe(answer).catch_unwind();
    caught.map(move |answer| answer.unwrap_or_else(|_| defect().into_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot record a vote")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[test]
    fn the_chain_tells_every_cause_once() {
        assert_eq!(Chain(&Outer(Inner)).to_string(), "cannot record a vote: connection refused");
    }

    #[test]
    fn the_client_is_not_told_the_cause() {
        let problem = Problem::unavailable("The votes cannot be reached.").because(Outer(Inner));
        assert_eq!(problem.report(), "cannot record a vote: connection refused");

        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    #[tokio::test]
    async fn a_panic_is_answered_as_a_defect() {
        let response = catch_panic(async { panic!("a handler's bug") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
