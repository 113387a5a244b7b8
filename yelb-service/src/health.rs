//! Whether the process lives, and whether it can take traffic.
//!
//! `/livez` depends on nobody else, so that an outage elsewhere does not become a restart storm. `/readyz` says ready
//! once the process has started and knows its schema, until it drains; it lists every dependency, but a dependency that
//! is lost later does not take all replicas out of the load balancer at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

/// The health of one process. Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub struct Health {
    draining: Arc<AtomicBool>,
    dependencies: Arc<[Dependency]>,
}

impl Health {
    /// The health of a process that needs `dependencies`.
    pub fn new(dependencies: impl IntoIterator<Item = Dependency>) -> Self {
        Self { draining: Arc::default(), dependencies: dependencies.into_iter().collect() }
    }

    /// From now on `/readyz` says that no new traffic is wanted.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// `/livez` and `/readyz`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }

    fn readiness(&self) -> Readiness {
        let dependencies: Vec<Report> = self.dependencies.iter().map(Dependency::report).collect();
        let status = if self.draining.load(Ordering::Acquire) {
            "draining"
        } else if self.dependencies.iter().all(Dependency::was_prepared) {
            "ready"
        } else {
            "starting"
        };
        Readiness { status, dependencies }
    }
}

async fn livez() -> impl IntoResponse {
    ([NO_STORE], "ok\n")
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let readiness = health.readiness();
    let code =
        if readiness.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [NO_STORE], Json(readiness))
}

const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    dependencies: Vec<Report>,
}

#[derive(Serialize)]
struct Report {
    name: &'static str,
    kind: &'static str,
    state: &'static str,
    /// Seconds since it came into this state.
    for_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What keeps the process from being ready, such as migrations that are still to be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// Something that the process needs and does not own: a store, another server.
#[derive(Debug, Clone)]
pub struct Dependency {
    name: &'static str,
    kind: &'static str,
    state: Arc<Mutex<Condition>>,
}

#[derive(Debug)]
struct Condition {
    contact: Contact,
    since: Instant,
    prepared: bool,
    missing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Contact {
    Unknown,
    Up,
    Away(String),
}

impl Dependency {
    /// A dependency called `name` on the service map, of a `kind` such as `postgresql`.
    ///
    /// The process is not ready before [`Dependency::prepared`].
    pub fn new(name: &'static str, kind: &'static str) -> Self {
        let state = Condition {
            contact: Contact::Unknown,
            since: Instant::now(),
            prepared: false,
            missing: None,
        };
        Self { name, kind, state: Arc::new(Mutex::new(state)) }
    }

    /// It answers.
    pub fn up(&self) {
        self.turn(Contact::Up);
    }

    /// It does not answer, and why.
    pub fn away(&self, reason: impl std::fmt::Display) {
        self.turn(Contact::Away(reason.to_string()));
    }

    /// It has what the process needs of it, or nothing is needed.
    pub fn prepared(&self) {
        let mut state = self.lock();
        state.prepared = true;
        state.missing = None;
    }

    /// It answers, but lacks something, such as a schema.
    pub fn missing(&self, what: &str) {
        let mut state = self.lock();
        if state.missing.as_deref() != Some(what) {
            tracing::warn!(
                dependency = self.name,
                kind = self.kind,
                what,
                "dependency lacks something"
            );
            state.missing = Some(what.to_owned());
        }
    }

    /// Whether it answered when last asked.
    pub fn is_up(&self) -> bool {
        self.lock().contact == Contact::Up
    }

    /// Whether [`Dependency::prepared`] was ever said.
    pub fn was_prepared(&self) -> bool {
        self.lock().prepared
    }

    /// Tells the log of a change, and of nothing else: an outage is two lines, not one a second.
    fn turn(&self, contact: Contact) {
        let mut state = self.lock();
        let changed = std::mem::discriminant(&state.contact) != std::mem::discriminant(&contact);
        if changed {
            state.since = Instant::now();
            if let Contact::Away(reason) = &contact {
                tracing::warn!(
                    dependency = self.name,
                    kind = self.kind,
                    reason,
                    "dependency is away"
                );
            } else {
                tracing::info!(dependency = self.name, kind = self.kind, "dependency is up");
            }
        }
        let up = if contact == Contact::Up { 1.0 } else { 0.0 };
        metrics::gauge!("yelb_dependency_up", "dependency" => self.name, "kind" => self.kind)
            .set(up);
        state.contact = contact;
    }

    fn report(&self) -> Report {
        let state = self.lock();
        let (label, reason) = match &state.contact {
            Contact::Unknown => ("unknown", None),
            Contact::Up => ("up", None),
            Contact::Away(reason) => ("away", Some(reason.clone())),
        };
        Report {
            name: self.name,
            kind: self.kind,
            state: label,
            for_seconds: state.since.elapsed().as_secs(),
            reason,
            missing: state.missing.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        // Every update is a plain assignment, so that a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(health: &Health) -> &'static str {
        health.readiness().status
    }

    #[test]
    fn not_ready_before_every_dependency_was_prepared_once() {
        let store = Dependency::new("yelb-db", "postgresql");
        let health = Health::new([store.clone()]);
        assert_eq!(status(&health), "starting");

        store.up();
        store.prepared();
        assert_eq!(status(&health), "ready");
    }

    #[test]
    fn a_dependency_lost_later_is_reported_but_does_not_end_readiness() {
        let store = Dependency::new("yelb-db", "postgresql");
        let health = Health::new([store.clone()]);
        store.prepared();
        store.away("connection refused");

        let readiness = health.readiness();
        assert_eq!(readiness.status, "ready");
        assert_eq!(readiness.dependencies[0].state, "away");
        assert_eq!(readiness.dependencies[0].reason.as_deref(), Some("connection refused"));
    }

    #[test]
    fn draining_is_not_ready() {
        let health = Health::default();
        assert_eq!(status(&health), "ready");
        health.drain();
        assert_eq!(status(&health), "draining");
    }
}
