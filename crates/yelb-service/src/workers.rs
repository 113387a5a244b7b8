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

/// Every so many turns one is a new connection's. The runtime's own number, 31, is for tasks that come in by others seldom: where
/// thousands of clients keep a worker busy, the last of them would wait for all that the others ask for.
const TURNS_OF_NEW: u32 = 2;

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
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().global_queue_interval(TURNS_OF_NEW);
    let runtime = builder.build()?;
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
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc::channel;

    use tokio::task::yield_now;

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

    #[test]
    fn new_connections_do_not_wait_for_all_that_the_others_ask_for() {
        const MANY: usize = 200;
        let (turns, (tell, told)) = (Arc::new(AtomicUsize::new(0)), channel());
        let worker = start(0).unwrap();
        let busy = (0..MANY).map(|_| {
            let turns = Arc::clone(&turns);
            worker.spawn(async move {
                loop {
                    turns.fetch_add(1, Relaxed);
                    yield_now().await;
                }
            })
        });
        let busy: Vec<_> = busy.collect();
        while turns.load(Relaxed) < MANY {
            thread::yield_now();
        }
        // Held up while they come in, as by a thread that has a core and does not get it.
        let (hold, held) = channel::<()>();
        worker.spawn(async move { held.recv().is_ok() });
        for _ in 0..MANY {
            let (tell, turns) = (tell.clone(), Arc::clone(&turns));
            worker.spawn(async move { tell.send(turns.load(Relaxed)).is_ok() });
        }
        drop(hold);
        let served: Vec<_> = (0..MANY).map(|_| told.recv().unwrap()).collect();
        let turns = served[MANY - 1] - served[0];
        assert!(turns < 4 * MANY, "the others had {turns} turns");
        busy.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
