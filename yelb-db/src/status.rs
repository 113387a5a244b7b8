//! The state of a store. Its tasks set it; `/readyz` and the metrics read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::error::StoreError;
use crate::kind::StoreKind;

/// How a store is at this moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it answers.
    pub state: State,
    /// Since when it is in this state.
    pub since: Instant,
    /// Whether schema and rows were complete once. The process can take traffic from then on.
    pub prepared: bool,
    /// What the store lacks, such as migrations that are still to be applied.
    pub missing: Option<String>,
    /// How the database differs from the one that answered before.
    pub changed: Option<String>,
}

/// Whether a store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was not reached yet.
    Unknown,
    /// It answers.
    Up,
    /// The store does not answer, with the reason.
    Down(String),
}

/// Reads the status of a store. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct StatusReceiver(Arc<Shared>);

/// Tells the status of a store. Each of its workers has one: the store is down if either of them has no session.
#[derive(Debug, Clone)]
pub struct StatusSender {
    shared: Arc<Shared>,
    worker: usize,
}

/// The worker that counts; its store's reader is the other one.
const WRITER: usize = 0;
const READER: usize = 1;

#[derive(Debug)]
struct Shared {
    kind: &'static StoreKind,
    condition: Mutex<Condition>,
    /// How often the writer has connected.
    connected: watch::Sender<u64>,
}

#[derive(Debug)]
struct Condition {
    workers: [State; 2],
    status: Status,
}

impl StatusSender {
    /// The status of a store of this kind, told by its writer.
    pub fn new(kind: &'static StoreKind) -> Self {
        let status = Status {
            state: State::Unknown,
            since: Instant::now(),
            prepared: false,
            missing: None,
            changed: None,
        };
        // Until there is a reader, its part is no reason to call the store down.
        let condition = Condition { workers: [State::Unknown, State::Up], status };
        let connected = watch::Sender::new(0);
        let shared = Shared { kind, condition: Mutex::new(condition), connected };
        Self { shared: Arc::new(shared), worker: WRITER }
    }

    /// For the reader of the same store.
    pub(crate) fn for_reader(&self) -> Self {
        self.shared.lock().workers[READER] = State::Unknown;
        Self { shared: Arc::clone(&self.shared), worker: READER }
    }

    /// A receiver, for readers of the status.
    pub fn receiver(&self) -> StatusReceiver {
        StatusReceiver(Arc::clone(&self.shared))
    }

    /// How often the writer has connected, and every change of it.
    pub(crate) fn writer_connections(&self) -> watch::Receiver<u64> {
        self.shared.connected.subscribe()
    }

    /// The worker has a session.
    pub(crate) fn connected(&self) {
        self.turn(State::Up);
        if self.worker == WRITER {
            self.shared.connected.send_modify(|times| *times += 1);
        }
    }

    /// The worker cannot have a session.
    pub(crate) fn down(&self, reason: &StoreError) {
        self.turn(State::Down(reason.chain()));
    }

    /// Schema and rows are complete.
    pub(crate) fn prepared(&self) {
        let mut condition = self.shared.lock();
        condition.status.prepared = true;
        condition.status.missing = None;
    }

    /// The store answers, but lacks something.
    pub(crate) fn missing(&self, what: &StoreError) {
        let what = what.chain();
        let StoreKind { keeps, name, .. } = self.shared.kind;
        let mut condition = self.shared.lock();
        if condition.status.missing.as_ref() != Some(&what) {
            tracing::warn!(
                dependency = keeps,
                kind = name,
                "{name} is reachable but not ready: {what}"
            );
            condition.status.missing = Some(what);
        }
    }

    /// Notes that the database is not the one that answered before. Votes are still counted: only an operator knows whether
    /// this is intended.
    pub(crate) fn changed(&self, difference: String) {
        let StoreKind { keeps, name, .. } = self.shared.kind;
        tracing::warn!(
            dependency = keeps,
            kind = name,
            "{name} is not what it was before: {difference}; votes are still counted; check where its name leads"
        );
        self.shared.lock().status.changed = Some(difference);
    }

    fn turn(&self, state: State) {
        let mut condition = self.shared.lock();
        condition.workers[self.worker] = state;
        let store = worst(&condition.workers);
        // An outage is two lines in the log, not one a second.
        if std::mem::discriminant(&store) != std::mem::discriminant(&condition.status.state) {
            condition.status.since = Instant::now();
            self.log(&store);
        }
        condition.status.state = store;
    }

    fn log(&self, state: &State) {
        let StoreKind { keeps, name, .. } = self.shared.kind;
        match state {
            State::Down(reason) => tracing::warn!(
                dependency = keeps,
                kind = name,
                reason,
                "{name} is down: {reason}; requests that need the {keeps} are answered 503; next attempt in 1 s"
            ),
            State::Up => tracing::info!(dependency = keeps, kind = name, "{name} is up"),
            State::Unknown => {}
        }
    }
}

/// The state of a store is the worse state of its two tasks.
fn worst([writer, reader]: &[State; 2]) -> State {
    let worse = match (writer, reader) {
        (State::Down(_), _) | (State::Unknown, State::Up) => writer,
        _ => reader,
    };
    worse.clone()
}

impl StatusReceiver {
    /// The kind of the store.
    pub fn kind(&self) -> &'static StoreKind {
        self.0.kind
    }

    /// The status now.
    pub fn get(&self) -> Status {
        self.0.lock().status.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Condition> {
        // A poisoned lock can be used: every update is one assignment.
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KIND: StoreKind = StoreKind {
        keeps: "votes",
        name: "test",
        system: "test",
        node: None,
        write: "UPDATE test",
        read: "SELECT test",
    };

    #[test]
    fn a_store_is_down_if_either_worker_is() {
        let writer = StatusSender::new(&KIND);
        let (reader, status) = (writer.for_reader(), writer.receiver());
        writer.connected();
        assert_eq!(status.get().state, State::Unknown);
        reader.connected();
        assert_eq!(status.get().state, State::Up);

        for (worker, other) in [(&writer, &reader), (&reader, &writer)] {
            worker.down(&StoreError::Down);
            other.connected();
            assert_eq!(status.get().state, State::Down("the store is down".to_owned()));
            worker.connected();
            assert_eq!(status.get().state, State::Up);
        }
    }

    #[test]
    fn what_was_missing_is_forgotten_once_the_store_is_prepared() {
        let writer = StatusSender::new(&KIND);
        writer.missing(&StoreError::NotReady("table restaurants is missing".to_owned()));
        let status = writer.receiver();
        assert_eq!(status.get().missing.as_deref(), Some("table restaurants is missing"));
        assert!(!status.get().prepared);

        writer.prepared();
        assert_eq!(status.get().missing, None);
        assert!(status.get().prepared);
    }
}
