//! The state of the app server, as seen by the requests to it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use yelb_service::health::{Check, Contact, Dependency};

const NAME: &str = "yelb-appserver";
const KIND: &str = "http";

/// Learns the state of the app server from each request. It sends no probes, because they would be traffic in the mesh that no
/// client sent. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct AppServerContact(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dependency: Mutex<Dependency>,
    /// Whether the app server is up. Most requests do not change this, and need no lock.
    is_up: AtomicBool,
}

impl Default for AppServerContact {
    fn default() -> Self {
        let dependency = Mutex::new(Dependency {
            name: NAME,
            kind: KIND,
            contact: Contact::Unknown,
            since: Instant::now(),
            // The page can be used without the app server, so yelb-ui is ready.
            prepared: true,
            missing: None,
            changed: None,
        });
        Self(Arc::new(Shared { dependency, is_up: AtomicBool::new(false) }))
    }
}

impl AppServerContact {
    /// Notes that the app server answered.
    pub(crate) fn up(&self) {
        if !self.0.is_up.load(Relaxed) {
            self.turn(Contact::Up);
        }
    }

    /// Notes that the app server did not answer, and the reason.
    pub(crate) fn down(&self, reason: &impl ToString) {
        self.turn(Contact::Down(reason.to_string()));
    }

    /// For `/readyz` and the metrics.
    pub fn check(&self) -> Check {
        let this = self.clone();
        Box::new(move || this.0.dependency.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn turn(&self, contact: Contact) {
        // A poisoned lock can be used: every update is one assignment.
        let mut dependency = self.0.dependency.lock().unwrap_or_else(PoisonError::into_inner);
        // An outage is two lines in the log, not one for each request.
        if std::mem::discriminant(&dependency.contact) != std::mem::discriminant(&contact) {
            dependency.since = Instant::now();
            match &contact {
                Contact::Down(reason) => tracing::warn!(
                    dependency = NAME,
                    kind = KIND,
                    reason,
                    "{NAME} is down: {reason}; requests for /api are answered 502 or 504 until it answers again"
                ),
                _ => tracing::info!(dependency = NAME, kind = KIND, "{NAME} is up"),
            }
        }
        self.0.is_up.store(contact == Contact::Up, Relaxed);
        dependency.contact = contact;
    }
}
