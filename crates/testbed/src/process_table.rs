//! Processes by their ids: which there are, in what state, and who their parents are.

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{PATIENCE, eventually};

/// A line of the process table.
struct Listed {
    pid: Pid,
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
    let table = all().into_iter();
    table.filter(|row| row.parent == parent && !row.is_dead()).map(|row| row.pid).collect()
}

/// Sends a signal to a process which may have ended meanwhile.
pub(crate) fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// Waits until all of `pids` have ended, reaped or not.
#[track_caller]
pub(crate) fn wait_until_gone(pids: &[Pid]) {
    eventually(PATIENCE, "killed processes are gone", || {
        pids.is_empty() || !all().iter().any(|row| pids.contains(&row.pid) && !row.is_dead())
    });
}

/// Stops processes where they stand and waits until they do stand still: a signal only asks.
#[track_caller]
pub(crate) fn freeze(pids: &[Pid]) {
    for &pid in pids {
        send(pid, Signal::STOP);
    }
    let stands_still = |row: &Listed| row.is_dead() || matches!(row.state, 'T' | 't');
    eventually(PATIENCE, "stopped processes stand still", || {
        pids.is_empty() || all().iter().all(|row| !pids.contains(&row.pid) || stands_still(row))
    });
}

#[cfg(target_os = "linux")]
fn all() -> Vec<Listed> {
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
fn all() -> Vec<Listed> {
    let table = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,state="]).output();
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
