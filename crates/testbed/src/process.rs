//! Child processes that cannot outlive the test process.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::lines::{Lines, Stream};
use crate::path;
use crate::process_table::{children, freeze, send, wait_until_gone};
use crate::spawner;
use crate::wait::{PATIENCE, happens};

/// The test process may die between the fork and `setpriv`'s call, and then the kernel would not kill the child: so a child
/// whose parent is another by now does not begin.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Gives a program the names of the network that it is in: the mount is the program's own.
const WITH_NAMES: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// Where a child process is, and as whom: by default where this process is, and as the same user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) network: Option<Network>,
    pub(crate) user: Option<User>,
}

/// The way into a network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// The kernel's file for it.
    pub(crate) door: PathBuf,
    /// What programs inside have for `/etc/hosts`.
    pub(crate) hosts: PathBuf,
}

/// A user, who need not have a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether they may read whatever root may: programs and files are in the checkout, which may be in another user's home.
    pub(crate) reads_everything: bool,
}

/// A command for `program` such that the kernel kills it when this process dies.
///
/// `unsafe` is forbidden in this workspace, so there is no code of ours between fork and exec; `setpriv` and `nsenter` are
/// the safe way to have the same done.
pub(crate) fn command(place: &Place, program: &Path) -> Command {
    let mut command = if cfg!(target_os = "linux") {
        wrapped(place, program)
    } else {
        assert!(place.user.is_none(), "programs are started as another user on Linux only");
        Command::new(program)
    };
    // A group of its own: an interrupt typed at the terminal is for the test, and its children follow through the kernel.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wrapped(place: &Place, program: &Path) -> Command {
    let setpriv = path::find("setpriv", "util-linux");
    let mut command = match &place.network {
        // First, because it takes root.
        Some(network) => {
            let mut command = Command::new(path::find("nsenter", "util-linux"));
            command.arg(format!("--net={}", network.door.display())).arg("--");
            command.arg(path::find("unshare", "util-linux")).args(["--mount", "--"]);
            command.args(["/bin/sh", "-c", WITH_NAMES]).arg(&network.hosts).arg(setpriv);
            command
        }
        None => Command::new(setpriv),
    };
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = place.user {
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
        command.arg("--clear-groups");
        if user.reads_everything {
            command.args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]);
        }
    }
    let parent = process::id().to_string();
    command.args(["--", "/bin/sh", "-c", UNLESS_ORPHANED, &parent]).arg(program);
    command
}

/// A child process with its output. Dropping it kills it with its children and its group.
#[derive(Debug)]
pub(crate) struct Owned {
    child: Mutex<Child>,
    pid: Pid,
    lines: Lines,
}

impl Owned {
    /// Starts it, and collects its output from the first byte.
    #[track_caller]
    pub(crate) fn spawn(command: Command) -> Self {
        let described = format!("{command:?}");
        let mut child = match spawner::spawn(command) {
            Ok(child) => child,
            Err(error) => panic!("cannot start {described}: {error}"),
        };
        let lines = Lines::default();
        if let Some(stdout) = child.stdout.take() {
            lines.follow(Stream::Stdout, stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            lines.follow(Stream::Stderr, stderr);
        }
        Self { pid: Pid::from_child(&child), child: Mutex::new(child), lines }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Sends it a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        self.unless_ended(|pid| send(pid, signal));
    }

    /// How it ended, or nothing while it still runs.
    pub(crate) fn poll(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child that is ours can be waited for")
    }

    /// How it ended, or nothing when it did not within `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        happens(limit, || {
            status = self.poll();
            status.is_some()
        });
        status
    }

    /// Ends it for certain, with its children, each of which may have a group of its own (as Postgres' have), and with its
    /// group. It stands still while its children are listed, so that none is born meanwhile.
    pub(crate) fn kill(&self) {
        let mut orphans = Vec::new();
        self.unless_ended(|pid| {
            freeze(&[pid]);
            orphans = children(pid);
            for &child in &orphans {
                send(child, Signal::KILL);
            }
            // The group is there as long as its leader is, and the leader was not waited for.
            let _ = kill_process_group(pid, Signal::KILL);
        });
        // Only a process in an uninterruptible call to the kernel survives that for a while.
        assert!(self.wait(PATIENCE).is_some(), "process {} is still there after SIGKILL", self.pid);
        wait_until_gone(&orphans);
    }

    /// Makes it and its children stand still; answers its children.
    pub(crate) fn freeze(&self) -> Vec<Pid> {
        let mut frozen = Vec::new();
        self.unless_ended(|pid| {
            freeze(&[pid]);
            frozen = children(pid);
            freeze(&frozen);
        });
        frozen
    }

    /// Lets it and its children go on.
    pub(crate) fn thaw(&self) {
        self.unless_ended(|pid| {
            for child in children(pid) {
                send(child, Signal::CONT);
            }
            send(pid, Signal::CONT);
        });
    }

    /// A process that was waited for has given its id back, and the id may be another process's by now: the lock keeps it
    /// from being waited for while `act` uses the id.
    fn unless_ended(&self, act: impl FnOnce(Pid)) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            act(self.pid);
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}
