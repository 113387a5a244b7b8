//! Threads that serve connections: one for each core, each with a runtime of its own.
//!
//! A connection stays with its worker, and so does all that its requests do: no task moves from thread to thread, and what a
//! worker's app owns, such as a pool of connections, is touched by one thread.

use std::future::pending;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};

use crate::app::App;

/// The workers of this process. They end with it.
#[derive(Debug)]
pub struct Workers(Vec<Handle>);

impl Workers {
    /// Starts one for each core that this process may use.
    pub fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        (0..cores).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// All of them, each with an app of its own.
    pub(crate) fn with(&self, app: impl Fn() -> App) -> Vec<Worker> {
        let worker = |runtime: &Handle| Worker {
            runtime: runtime.clone(),
            app: app(),
            load: Arc::default(),
        };
        self.0.iter().map(worker).collect()
    }
}

fn start(number: usize) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}

/// A worker, as a listener sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    runtime: Handle,
    app: App,
    /// Has a clone for each of its connections.
    load: Arc<()>,
}

impl Worker {
    /// The one with the fewest connections: the kernel's own choice among listeners is a hash, which leaves cores idle
    /// where there are few connections, as behind a sidecar.
    pub(crate) fn least_busy(workers: &[Self]) -> &Self {
        let least = workers.iter().min_by_key(|worker| Arc::strong_count(&worker.load));
        least.expect("there is a worker for each core, and a core")
    }

    /// A place among its connections, until it is dropped.
    pub(crate) fn place(&self) -> Arc<()> {
        Arc::clone(&self.load)
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_to_the_worker_with_the_fewest() {
        let workers = Workers((0..2).map(start).collect::<io::Result<_>>().unwrap());
        let workers = workers.with(|| App::from_fn(|_| unreachable!("no request is sent")));
        let [first, second] = &workers[..] else { panic!("{workers:?}") };
        let is_next = |one: &Worker| std::ptr::eq(Worker::least_busy(&workers), one);
        let places = [first.place(), first.place(), second.place()];
        assert!(is_next(second));
        drop(places);
        let _place = second.place();
        assert!(is_next(first));
    }
}
