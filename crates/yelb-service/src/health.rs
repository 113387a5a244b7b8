//! Whether the process lives, and whether it can take traffic.
//!
//! `/livez` depends on no other process, so that an outage elsewhere does not become a restart storm. `/readyz` answers 200
//! from the time when the schema is known to be complete until the process drains. It lists every dependency. If a dependency
//! goes down later, the status is `degraded`, which is also 200: otherwise a load balancer would remove all replicas at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// The health of one process. Cloning it clones a handle.
#[derive(Clone, Default)]
pub struct Health {
    draining: Arc<AtomicBool>,
    closed: CancellationToken,
    checks: Arc<[Check]>,
}

/// Reports the state of a dependency: a store or another server.
pub type Check = Box<dyn Fn() -> Dependency + Send + Sync>;

/// A dependency, as it is at this moment.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// What it is for, such as `votes`.
    pub name: &'static str,
    /// What kind it is of, such as `postgresql`.
    pub kind: &'static str,
    /// Whether it answers, and why not.
    pub contact: Contact,
    /// Since when it is in this state.
    pub since: Instant,
    /// Whether it has had what the process needs. The process is not ready before.
    pub prepared: bool,
    /// The reason why the process is not ready, such as pending migrations.
    pub missing: Option<String>,
    /// How the database differs from the one that answered before.
    pub changed: Option<String>,
}

/// Whether a dependency answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// The dependency was not asked yet.
    Unknown,
    /// It answers.
    Up,
    /// The dependency does not answer, with the reason.
    Down(String),
}

impl Health {
    /// The health of a process with these dependencies.
    pub fn new(checks: impl IntoIterator<Item = Check>) -> Self {
        let checks = checks.into_iter().collect();
        Self { draining: Arc::default(), closed: CancellationToken::new(), checks }
    }

    /// From now on, `/readyz` answers 503 with the status `draining`.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The listeners are closed: clients that connect again do so elsewhere.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Resolves when the process stops accepting connections. Streams without an end must end then.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// `/livez` and `/readyz`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }

    /// Brings the metric `yelb_dependency_up` up to date, just before it is read.
    pub(crate) fn record(&self) {
        for Dependency { name, kind, contact, .. } in self.dependencies() {
            let up = if contact == Contact::Up { 1.0 } else { 0.0 };
            metrics::gauge!("yelb_dependency_up", "dependency" => name, "kind" => kind).set(up);
        }
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.checks.iter().map(|check| check()).collect()
    }

    fn readiness(&self) -> Readiness {
        let dependencies = self.dependencies();
        let is_down = |dependency: &Dependency| matches!(dependency.contact, Contact::Down(_));
        let status = if self.is_draining() {
            Status::Draining
        } else if !dependencies.iter().all(|dependency| dependency.prepared) {
            Status::Starting
        } else if dependencies.iter().any(is_down) {
            Status::Degraded
        } else {
            Status::Ready
        };
        Readiness { status, dependencies: dependencies.into_iter().map(Report::from).collect() }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.dependencies()).finish()
    }
}

async fn livez() -> impl IntoResponse {
    ([NO_STORE], "ok\n")
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let readiness = health.readiness();
    let code = match readiness.status {
        Status::Ready | Status::Degraded => StatusCode::OK,
        Status::Starting | Status::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, [NO_STORE], Json(readiness))
}

const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// Whether the process takes traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Not yet: a dependency has not had what the process needs.
    Starting,
    Ready,
    /// It takes traffic. Requests that need a dependency that is down are answered 503.
    Degraded,
    /// The process is stopping and takes no new traffic.
    Draining,
}

#[derive(Serialize)]
struct Readiness {
    status: Status,
    dependencies: Vec<Report>,
}

/// A dependency as `/readyz` lists it.
#[derive(Serialize)]
struct Report {
    name: &'static str,
    kind: &'static str,
    state: &'static str,
    /// Seconds since it came into this state.
    for_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
}

impl From<Dependency> for Report {
    fn from(dependency: Dependency) -> Self {
        let (state, reason) = match dependency.contact {
            Contact::Unknown => ("unknown", None),
            Contact::Up => ("up", None),
            Contact::Down(reason) => ("down", Some(reason)),
        };
        Self {
            name: dependency.name,
            kind: dependency.kind,
            state,
            for_seconds: dependency.since.elapsed().as_secs(),
            reason,
            missing: dependency.missing,
            changed: dependency.changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(contact: Contact, prepared: bool) -> Health {
        let dependency = Dependency {
            name: "votes",
            kind: "postgresql",
            contact,
            since: Instant::now(),
            prepared,
            missing: None,
            changed: None,
        };
        Health::new([Box::new(move || dependency.clone()) as Check])
    }

    #[test]
    fn not_ready_before_every_dependency_was_prepared_once() {
        assert_eq!(health(Contact::Up, false).readiness().status, Status::Starting);
        assert_eq!(health(Contact::Up, true).readiness().status, Status::Ready);
    }

    #[test]
    fn a_dependency_lost_later_is_reported_but_does_not_end_readiness() {
        let down = Contact::Down("connection refused".to_owned());
        let readiness = health(down, true).readiness();
        assert_eq!(readiness.status, Status::Degraded);
        assert_eq!(readiness.dependencies[0].state, "down");
        assert_eq!(readiness.dependencies[0].reason.as_deref(), Some("connection refused"));
    }

    #[test]
    fn draining_is_not_ready() {
        let health = Health::default();
        assert_eq!(health.readiness().status, Status::Ready);
        health.drain();
        assert_eq!(health.readiness().status, Status::Draining);
    }
}
