//! One worker's free connections to the app server, shared out among the addresses of its name.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;

/// How long to skip an address that could not be reached, closed the connection or did not answer.
const SKIPPED_FOR: Duration = Duration::from_secs(10);

/// The addresses, and the connections to them that are free.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Addresses>);

#[derive(Debug, Default)]
struct Addresses {
    all: Vec<Address>,
    /// The number of the next address, which takes its turn.
    turn: usize,
    /// Whether there was a request since the last sweep.
    is_used: bool,
}

#[derive(Debug)]
struct Address {
    at: SocketAddr,
    free: Vec<Connection>,
    skipped_until: Option<Instant>,
}

/// What there is for a request.
#[derive(Debug)]
pub(super) enum Taken {
    /// A free connection.
    Free(Connection),
    /// An address to connect to, of so many.
    Address { address: SocketAddr, of: usize },
    /// No address is known.
    Nothing,
}

impl Pool {
    /// The connection or the address for the next request. Addresses take turns.
    pub(super) fn take(&self) -> Taken {
        let now = Instant::now();
        let mut addresses = self.lock();
        addresses.is_used = true;
        let of = addresses.all.len();
        let Some(address) = addresses.next(now) else { return Taken::Nothing };
        while let Some(connection) = address.free.pop() {
            if connection.is_usable(now) {
                return Taken::Free(connection);
            }
        }
        Taken::Address { address: address.at, of }
    }

    /// Takes a connection back, if it can be used again.
    pub(super) fn put(&self, connection: Connection) {
        let mut addresses = self.lock();
        let address = addresses.all.iter_mut().find(|address| address.at == connection.address());
        if let Some(address) = address
            && connection.is_usable(Instant::now())
        {
            // It has answered.
            address.skipped_until = None;
            address.free.push(connection.again());
        }
    }

    /// Skips an address for a while, if there is another one.
    pub(super) fn skip(&self, address: SocketAddr) {
        let mut addresses = self.lock();
        if let Some(skipped) = addresses.all.iter_mut().find(|known| known.at == address) {
            skipped.skipped_until = Some(Instant::now() + SKIPPED_FOR);
            skipped.free.clear();
        }
    }

    /// The addresses are these from now on. Connections to others are closed, once what is under way is done.
    pub(super) fn set(&self, current: &[SocketAddr]) {
        let mut addresses = self.lock();
        addresses.all.retain(|address| current.contains(&address.at));
        for at in current {
            if !addresses.all.iter().any(|address| address.at == *at) {
                addresses.all.push(Address { at: *at, free: Vec::new(), skipped_until: None });
            }
        }
    }

    /// Closes the connections that are too old. If there was no request since the last time, the addresses are forgotten:
    /// the next request looks them up.
    pub(super) fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut addresses = self.lock();
        for address in &mut addresses.all {
            address.free.retain(|connection| connection.is_usable(now));
        }
        let is_idle = addresses.all.iter().all(|address| address.free.is_empty());
        let is_used = std::mem::take(&mut addresses.is_used) || !is_idle;
        if !is_used {
            addresses.all.clear();
        }
        is_used
    }

    /// Whether no address is known.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        // A poisoned lock can be used: no code can panic within a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addresses {
    /// The address whose turn it is. Skipped ones are passed over; if all are, it is the one whose time is up first.
    fn next(&mut self, now: Instant) -> Option<&mut Address> {
        let count = self.all.len();
        if count == 0 {
            return None;
        }
        let first = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let all = &self.all;
        let in_turn = || (0..count).map(|step| first.wrapping_add(step) % count);
        let chosen = in_turn()
            .find(|place| all[*place].skipped_until.is_none_or(|until| until <= now))
            .or_else(|| in_turn().min_by_key(|place| all[*place].skipped_until))?;
        Some(&mut self.all[chosen])
    }
}

#[cfg(test)]
mod tests;
