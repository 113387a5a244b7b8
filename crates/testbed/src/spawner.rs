//! The one thread that starts child processes.

use std::io;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

type Order = (Command, Sender<io::Result<Child>>);

static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = channel();
    let thread = thread::Builder::new().name("spawner".to_owned());
    thread.spawn(move || serve(&orders)).expect("a thread can be started");
    sender
});

/// Starts a child process from a thread that lives as long as this process.
///
/// The kernel kills a child with the *thread* that started it. A test's own thread ends with the test, and a server that is
/// kept for several tests would end with the first of them.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = channel();
    SPAWNER.send((command, reply)).expect("the spawner lives as long as the process");
    answer.recv().expect("the spawner answers every order")
}

fn serve(orders: &Receiver<Order>) {
    for (mut command, reply) in orders {
        // The test has panicked meanwhile: nothing wants the child any more.
        if let Err(unwanted) = reply.send(command.spawn())
            && let Ok(mut child) = unwanted.0
        {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
