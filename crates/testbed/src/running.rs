//! Programs that have been started.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::directory::Directory;
use crate::lines::{Lines, Stream};
use crate::namespace::Namespace;
use crate::process::Owned;
use crate::wait::PATIENCE;

/// A running program. Dropping it kills it.
pub struct Running {
    pub(crate) name: String,
    pub(crate) process: Owned,
    /// After the program, which uses it: fields are dropped in their order.
    pub(crate) home: Arc<Directory>,
    /// So that its namespace is there when it comes to enter it.
    pub(crate) _namespace: Option<Namespace>,
}

impl Running {
    /// Waits for a line on either output, also among those already written.
    #[track_caller]
    pub fn wait_for_line(&self, mut wanted: impl FnMut(&str) -> bool, limit: Duration) -> String {
        let pick = |_, line: &str| wanted(line).then(|| line.to_owned());
        self.lines().find(limit, pick).unwrap_or_else(|missing| {
            let (name, lines) = (&self.name, self.lines());
            panic!("{name} did not write the line waited for: {missing}; {lines}")
        })
    }

    /// Where one of its servers listens, as it says itself in a JSON line on stderr: `message` is `listening`, `server` is
    /// the server's name, `address` is the answer.
    #[track_caller]
    pub fn address(&self, server: &str) -> SocketAddr {
        let pick = |stream, line: &str| {
            if stream == Stream::Stderr { listening(server, line) } else { None }
        };
        self.lines().find(PATIENCE, pick).unwrap_or_else(|missing| {
            let (name, lines) = (&self.name, self.lines());
            panic!("{name} did not say where `{server}` listens: {missing}; {lines}")
        })
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.lines().text(Stream::Stdout)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.lines().text(Stream::Stderr)
    }

    /// Asks it to end, as an orchestrator does: SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to end, as Ctrl-C does: SIGINT.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it without a chance to say or save anything: SIGKILL, to its children too.
    #[track_caller]
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Makes it stand still, with its children: their sockets stay open and nothing answers.
    #[track_caller]
    pub fn freeze(&self) {
        self.home.note_frozen(&self.process.freeze());
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
        self.home.note_frozen(&[]);
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait(&self, limit: Duration) -> ExitStatus {
        self.try_wait(limit).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Self::wait`], but that it goes on is for the test to judge.
    pub(crate) fn try_wait(&self, limit: Duration) -> Result<ExitStatus, String> {
        let still_runs = || format!("{} still runs after {limit:?}; {}", self.name, self.lines());
        let status = self.process.wait(limit).ok_or_else(still_runs)?;
        self.lines().wait_for_end(PATIENCE);
        Ok(status)
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.process.poll().is_none()
    }

    /// Its process id, for a look at `/proc`.
    pub fn pid(&self) -> u32 {
        self.process.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// The most memory that it has had so far, in KiB (`VmHWM` in proc(5)).
    #[track_caller]
    pub fn most_memory_kib(&self) -> u64 {
        self.kib_of_status("VmHWM:")
    }

    /// The memory that it has now, in KiB (`VmRSS` in proc(5)).
    #[track_caller]
    pub fn memory_kib(&self) -> u64 {
        self.kib_of_status("VmRSS:")
    }

    #[track_caller]
    fn kib_of_status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.expect("Linux says how much it is")
    }

    /// How many file descriptors it has open, connections among them.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.expect("it is running").count()
    }

    /// Its home and, unless told otherwise, its working directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn lines(&self) -> &Lines {
        self.process.lines()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.process.poll() {
            None => "running".to_owned(),
            Some(status) => {
                status.signal().map_or_else(|| status.to_string(), |n| format!("signal {n}"))
            }
        };
        write!(f, "{} ({state}); {}", self.name, self.lines())
    }
}

/// The address in a log line which says that `server` listens. Fields stand at the top, or under `fields` as
/// `tracing-subscriber` nests them unless asked to flatten.
fn listening(server: &str, line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str();
    if field("message") != Some("listening") || field("server") != Some(server) {
        return None;
    }
    let mut address: SocketAddr = field("address")?.parse().ok()?;
    // Every interface: one of them is enough to talk to it.
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_flat_and_from_nested_fields() {
        let flat =
            r#"{"level":"INFO","message":"listening","server":"ui","address":"127.0.0.1:80"}"#;
        assert_eq!(listening("ui", flat), "127.0.0.1:80".parse().ok());
        assert_eq!(listening("appserver", flat), None);

        let nested = r#"{"fields":{"message":"listening","server":"ui","address":"0.0.0.0:81"}}"#;
        assert_eq!(listening("ui", nested), "127.0.0.1:81".parse().ok());
        assert_eq!(listening("ui", "not json"), None);
    }
}
