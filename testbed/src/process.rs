//! Child processes that cannot outlive the test process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::lines::{Lines, Missing, Stream};
use crate::namespace::Namespace;
use crate::{PATIENCE, happens};

/// This process may die between the fork and `setpriv`'s call, and then nobody would be told: so whoever has no such parent
/// by now does not begin.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Where a child process is, and as whom: by default where this process is, and as the same user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) namespace: Option<Namespace>,
    pub(crate) user: Option<User>,
}

/// A user who need not have a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether they may read whatever root may: programs and files are where the checkout is, which may be nobody else's.
    pub(crate) reads_everything: bool,
}

/// Starts `program` such that the kernel kills it when this process dies.
pub(crate) fn command(program: &Path) -> Command {
    command_at(&Place::default(), program)
}

/// As [`command`], at another place.
///
/// `unsafe` is forbidden in this workspace, so there is no code of ours between fork and exec; `setpriv` and `nsenter` are
/// the safe way to have the same done.
pub(crate) fn command_at(place: &Place, program: &Path) -> Command {
    let mut command = if cfg!(target_os = "linux") {
        let setpriv = find("setpriv", "util-linux");
        let mut command = match &place.namespace {
            // First, because it takes root.
            Some(namespace) => {
                let mut command = namespace.entered();
                command.arg(setpriv);
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
        command
            .args(["--", "/bin/sh", "-c", UNLESS_ORPHANED, &process::id().to_string()])
            .arg(program);
        command
    } else {
        assert!(place.user.is_none(), "programs are started as another user on Linux only");
        Command::new(program)
    };
    // A group of its own: an interrupt typed at the terminal is for the test, and its children follow through the kernel.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A child process with its output. Dropping it kills it with its whole group.
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
        let mut child = match spawn_in_long_lived_thread(command) {
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

    /// Sends a signal to it and to those of its descendants which stayed in its group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        self.unless_ended(|pid| {
            // The group is there as long as its leader is, and the leader was not waited for.
            let _ = kill_process_group(pid, signal);
        });
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

    /// Ends it for certain, with its whole group.
    pub(crate) fn kill(&self) {
        self.signal_group(Signal::KILL);
        // Only a process in an uninterruptible call to the kernel survives that for a while.
        assert!(self.wait(PATIENCE).is_some(), "process {} is still there after SIGKILL", self.pid);
    }

    /// A process that was waited for has given its id back, and the id may be somebody else's by now: the lock keeps it
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
        self.signal_group(Signal::KILL);
        self.wait(PATIENCE);
    }
}

/// Runs a command to its end: how it ended, its stdout, its stderr. An `Err` says that it did not end.
#[track_caller]
pub(crate) fn run(
    command: Command,
    limit: Duration,
) -> Result<(ExitStatus, String, String), String> {
    let described = format!("{command:?}");
    let process = Owned::spawn(command);
    let Some(status) = process.wait(limit) else {
        return Err(format!("still running after {limit:?}: {described}"));
    };
    process.lines.wait_for_end(PATIENCE);
    Ok((status, process.lines.text(Stream::Stdout), process.lines.text(Stream::Stderr)))
}

/// The words for a line that did not come.
pub(crate) fn explain(missing: &Missing, limit: Duration, lines: &Lines) -> String {
    let why = match missing {
        Missing::Ended => "it ended without".to_owned(),
        Missing::TimedOut => format!("not within {limit:?}"),
    };
    format!("{why}; {}", quote(lines))
}

/// All the output so far, for a panic's message.
pub(crate) fn quote(lines: &Lines) -> String {
    let (stdout, stderr) = (lines.text(Stream::Stdout), lines.text(Stream::Stderr));
    format!("its stdout:\n{stdout}\nits stderr:\n{stderr}")
}

/// Where a program is; without it there is nothing to test with, and the message says how to get it.
#[track_caller]
pub(crate) fn find(name: &str, package: &str) -> PathBuf {
    look_for(name).unwrap_or_else(|| missing(name, package))
}

/// Where a program is on the path.
pub(crate) fn look_for(name: &str) -> Option<PathBuf> {
    env::split_paths(&path()?).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[track_caller]
pub(crate) fn missing(name: &str, package: &str) -> ! {
    panic!("`{name}` ({package}) is missing: install it, or run `cargo xtask test` which does")
}

/// The environment a child gets and nothing else: where programs are, and a home that is nobody's.
pub(crate) fn clean_environment(command: &mut Command, home: &OsStr) {
    command.env_clear().env("HOME", home);
    if let Some(path) = path() {
        command.env("PATH", path);
    }
}

#[expect(clippy::disallowed_methods, reason = "where programs are is no setting of ours")]
fn path() -> Option<OsString> {
    env::var_os("PATH")
}

/// The kernel kills a child with the *thread* that started it, so a test's own thread, which ends with the test, must not
/// be that thread: a server kept for several tests would go with the first of them.
pub(crate) fn spawn_in_long_lived_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);

    static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = channel::<Order>();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in orders {
                    // Nobody to reply to: the test has panicked meanwhile, and the child is not wanted any more.
                    if let Err(unwanted) = reply.send(command.spawn())
                        && let Ok(mut child) = unwanted.0
                    {
                        drop(child.kill());
                        drop(child.wait());
                    }
                }
            })
            .expect("a thread can be started");
        sender
    });

    let (reply, answer) = channel();
    SPAWNER.send((command, reply)).expect("the spawner lives as long as the process");
    answer.recv().expect("the spawner answers every order")
}

/// A line of the process table.
pub(crate) struct Listed {
    pub(crate) pid: Pid,
    parent: u32,
    state: char,
}

impl Listed {
    /// Neither running nor able to run again.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The processes which `parent` has started and which have not ended.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get().unsigned_abs();
    let table = process_table().into_iter();
    table.filter(|row| row.parent == parent && !row.is_dead()).map(|row| row.pid).collect()
}

/// Sends a signal to a process which may have ended meanwhile.
pub(crate) fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// Waits until all of `pids` have ended, reaped or not.
#[track_caller]
pub(crate) fn wait_until_gone(pids: &[Pid]) {
    crate::eventually(PATIENCE, "killed processes are gone", || {
        !process_table().iter().any(|row| pids.contains(&row.pid) && !row.is_dead())
    });
}

/// Stops a process where it stands and waits until it does stand still: a signal only asks.
#[track_caller]
pub(crate) fn freeze(pid: Pid) {
    send(pid, Signal::STOP);
    crate::eventually(PATIENCE, "a stopped process stands still", || {
        !process_table()
            .iter()
            .any(|row| row.pid == pid && !row.is_dead() && !matches!(row.state, 'T' | 't'))
    });
}

#[cfg(target_os = "linux")]
fn process_table() -> Vec<Listed> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(listed).collect()
}

/// Reads `/proc/PID/stat`: the id, the name in parentheses (which may itself contain any character), state, parent, …
#[cfg(target_os = "linux")]
fn listed(number: i32) -> Option<Listed> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Listed { pid: Pid::from_raw(number)?, parent: fields.next()?.parse().ok()?, state })
}

#[cfg(not(target_os = "linux"))]
fn process_table() -> Vec<Listed> {
    let table = Command::new("ps").args(["-A", "-o", "pid=,ppid=,state="]).output();
    let table = table.map(|output| output.stdout).unwrap_or_default();
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        Some(Listed {
            pid: Pid::from_raw(fields.next()?.parse().ok()?)?,
            parent: fields.next()?.parse().ok()?,
            state: fields.next()?.chars().next()?,
        })
    };
    String::from_utf8_lossy(&table).lines().filter_map(row).collect()
}
