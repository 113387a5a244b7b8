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
/// A child is started with `--pdeathsig`: the kernel kills it when the *thread* that started it ends. A test's thread ends with
/// the test. So a server that several tests share would end with the first test.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = channel();
    SPAWNER.send((command, reply)).expect("the spawner lives as long as the process");
    answer.recv().expect("the spawner answers every order")
}

fn serve(orders: &Receiver<Order>) {
    for (mut command, reply) in orders {
        // The test has panicked in the meantime. The child is not needed any more.
        if let Err(unwanted) = reply.send(command.spawn())
            && let Ok(mut child) = unwanted.0
        {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
