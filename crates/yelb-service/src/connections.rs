//! The table of open connections. It chooses which of them to close when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;

/// The number of further connections when all are busy. Each gets one answer: 503, or the health that it asks for.
const RESERVE: usize = 64;
/// When the table is full, 1/64 of the connections are closed together, so that the search for the oldest, which reads the
/// whole table, is rare.
const PART: usize = 64;
/// The memory that all incomplete large heads may take together.
const HEADS_ROOM: usize = 32 * 1024 * 1024;
/// A head of up to this size always has room, also if other heads take all of the memory.
const SMALL_HEAD: usize = 8 * 1024;
/// The most requests with a body at a time. A vote needs none, and each takes 30 to 45 KB while its body is not complete.
const MOST_BODIES: usize = 2000;
/// The longest time between two looks at a busy connection.
const LONGEST_LOOK_PAUSE: Duration = Duration::from_secs(10);

/// The table of open connections. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Table>);

#[derive(Debug)]
struct Table {
    limits: Limits,
    began: Instant,
    /// Bytes of heads that are not whole yet.
    heads: AtomicUsize,
    /// How many requests have a body and are not answered yet.
    bodies: AtomicUsize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    all: BTreeMap<u64, Arc<Activity>>,
    /// How many of them are about to close.
    closing: usize,
    /// How many each client has; kept only if that is limited.
    of_clients: HashMap<IpAddr, usize>,
}

/// What the server does with a new connection.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Its requests are answered.
    Served(Entry),
    /// Its request is answered 503, unless it asks for our health.
    TurnedAway(Entry),
    /// It is closed at once.
    Refused,
}

/// A connection's place in the table, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    table: Arc<Table>,
    number: u64,
    client: IpAddr,
    activity: Arc<Activity>,
}

/// A request's place among those with a body, until it is dropped.
#[derive(Debug)]
pub(crate) struct BodyPlace(Arc<Table>);

/// What a connection is doing.
#[derive(Debug)]
struct Activity {
    /// The time since which the connection waits for its client, in milliseconds, or one of the two constants below.
    waits_since: AtomicU64,
    /// How many requests it has had.
    requests: AtomicU64,
    was_awaited: AtomicBool,
    /// Whether it has nothing of a request.
    rests: AtomicBool,
    is_last: AtomicBool,
    close: CancellationToken,
}

/// A request is being answered.
const BUSY: u64 = u64::MAX;
/// It is to be closed.
const CLOSING: u64 = u64::MAX - 1;

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        let (heads, bodies) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (began, open) = (Instant::now(), Mutex::default());
        Self(Arc::new(Table { limits, began, heads, bodies, open }))
    }

    /// Admits a connection. If the table is full, closes those that have waited longest for their clients.
    pub(crate) fn admit(&self, peer: SocketAddr) -> Admission {
        let limits = self.0.limits;
        let client = peer.ip().to_canonical();
        let mut open = self.0.lock();
        if open.is_full(limits) {
            open.close_idle(limits);
        }
        let is_full = open.is_full(limits);
        if is_full && open.all.len() >= limits.connections + RESERVE {
            metrics::counter!("yelb_connections_cut_total", "reason" => "refused").increment(1);
            return Admission::Refused;
        }
        let is_limited = limits.per_client.filter(|_| !client.is_loopback());
        let has_too_many = is_limited.is_some_and(|most| {
            let number = open.of_clients.entry(client).or_default();
            *number += 1;
            *number > most
        });
        let entry = self.0.enter(&mut open, client);
        if is_full || has_too_many {
            Admission::TurnedAway(entry)
        } else {
            Admission::Served(entry)
        }
    }
}

impl Table {
    fn enter(self: &Arc<Self>, open: &mut Open, client: IpAddr) -> Entry {
        let activity = Arc::new(Activity {
            waits_since: AtomicU64::new(self.now()),
            requests: AtomicU64::new(0),
            was_awaited: AtomicBool::new(true),
            rests: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            close: CancellationToken::new(),
        });
        open.last += 1;
        open.all.insert(open.last, Arc::clone(&activity));
        Entry { table: Arc::clone(self), number: open.last, client, activity }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A poisoned lock can be used: no code can panic within a change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn is_full(&self, limits: Limits) -> bool {
        self.all.len() - self.closing >= limits.connections
    }

    /// Closes those that have waited longest for their clients, if any waits.
    fn close_idle(&mut self, limits: Limits) {
        let waiting =
            self.all.values().map(|activity| (activity.waits_since.load(Relaxed), activity));
        let mut waiting: Vec<_> = waiting.filter(|(since, _)| *since < CLOSING).collect();
        let number = (limits.connections / PART).max(1).min(waiting.len());
        if number == 0 {
            return;
        }
        waiting.select_nth_unstable_by_key(number - 1, |(since, _)| *since);
        let cut = metrics::counter!("yelb_connections_cut_total", "reason" => "idle");
        for (since, activity) in &waiting[..number] {
            // Unless its client has just sent a request.
            if activity.waits_since.compare_exchange(*since, CLOSING, Relaxed, Relaxed).is_ok() {
                activity.close.cancel();
                self.closing += 1;
                cut.increment(1);
            }
        }
    }
}

impl Entry {
    /// Resolves when the connection has to make room.
    pub(crate) async fn closed(&self) {
        self.activity.close.cancelled().await;
    }

    /// Notes that a complete request has arrived. Their number tells one head from the next one.
    pub(crate) fn begin_request(&self, is_last: bool) {
        self.activity.is_last.store(is_last, Relaxed);
        self.activity.waits_since.store(BUSY, Relaxed);
        self.activity.requests.fetch_add(1, Relaxed);
    }

    /// There is nothing to read, and nothing to answer.
    pub(crate) fn await_client(&self) {
        self.activity.was_awaited.store(true, Relaxed);
        self.activity.rests.store(true, Relaxed);
    }

    /// Some bytes of a request have come.
    pub(crate) fn end_rest(&self) {
        self.activity.rests.store(false, Relaxed);
    }

    /// Resolves when the last answer was at least `time` ago (up to 10 s later), no bytes of a request have arrived since, and
    /// another request may come.
    ///
    /// Each look at the connection polls it. So the looks become rare while it is busy: it may be one of thousands of live
    /// streams.
    pub(crate) async fn rested(&self, time: Duration) {
        let mut pause = time;
        loop {
            sleep(pause).await;
            let Activity { waits_since, rests, is_last, .. } = &*self.activity;
            let waits =
                Duration::from_millis(self.table.now().saturating_sub(waits_since.load(Relaxed)));
            let rests = rests.load(Relaxed) && !is_last.load(Relaxed);
            if rests && waits >= time {
                return;
            }
            pause =
                if rests { time.saturating_sub(waits) } else { LONGEST_LOOK_PAUSE.min(pause * 2) };
        }
    }

    /// Whether the connection has waited for its client since the last call of this function.
    pub(crate) fn was_awaited(&self) -> bool {
        self.activity.was_awaited.swap(false, Relaxed)
    }

    /// Notes that the request was answered. The connection now waits for its client.
    pub(crate) fn end_request(&self) {
        self.activity.waits_since.store(self.table.now(), Relaxed);
    }

    /// Notes that the client sends or reads again. The waiting time begins anew.
    pub(crate) fn goes_on(&self) {
        if !self.is_busy() {
            self.end_request();
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.activity.waits_since.load(Relaxed) == BUSY
    }

    pub(crate) fn requests(&self) -> u64 {
        self.activity.requests.load(Relaxed)
    }

    /// Takes a place for a request with a body, if one is free.
    pub(crate) fn body_place(&self) -> Option<BodyPlace> {
        let place = BodyPlace(Arc::clone(&self.table));
        (self.table.bodies.fetch_add(1, Relaxed) < MOST_BODIES).then_some(place)
    }

    /// Takes room for `more` bytes of a head that has `all`; false if there is none.
    pub(crate) fn take_room(&self, more: usize, all: usize) -> bool {
        let taken = self.table.heads.fetch_add(more, Relaxed) + more;
        taken <= HEADS_ROOM || all <= SMALL_HEAD
    }

    /// Gives it back.
    pub(crate) fn leave_room(&self, bytes: usize) {
        self.table.heads.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for BodyPlace {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.table.lock();
        open.all.remove(&self.number);
        open.closing -= usize::from(self.activity.close.is_cancelled());
        if let Some(number) = open.of_clients.get_mut(&self.client) {
            *number -= 1;
            if *number == 0 {
                open.of_clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests;
