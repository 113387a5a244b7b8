//! Temporary directories that are removed when the test process ends, also when it is killed.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::spawner;

/// Waits for the end of its input, which comes when the test process ends. Each line of its input lists the processes that are
/// frozen at that time. They cannot notice that their parent has ended, so the reaper kills them. The other processes end by
/// themselves, but may still write. So the reaper sleeps for a second before it removes the directory.
const REAPER: &str = r#"
    while read -r line; do frozen=$line; done
    if [ -n "$frozen" ]; then kill -KILL $frozen; fi
    sleep 1
    rm -rf -- "$1"
"#;

/// A temporary directory, removed when dropped, and also when the test process is killed.
#[derive(Debug)]
pub(crate) struct Directory {
    directory: TempDir,
    /// The second field, so that the reaper ends after the directory is removed: fields are dropped in their order.
    reaper: Reaper,
}

#[derive(Debug)]
struct Reaper(Mutex<Child>);

impl Directory {
    pub(crate) fn make() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("testbed-")
            .tempdir()
            .expect("a temporary directory can be made");

        let mut command = Command::new("/bin/sh");
        command.args(["-c", REAPER, "reaper"]).arg(directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at the terminal ends a process group. The reaper must survive it, so it has its own group.
        command.process_group(0);
        let reaper = spawner::spawn(command).expect("/bin/sh can be started");
        Self { directory, reaper: Reaper(Mutex::new(reaper)) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Tells the reaper which processes are frozen. If this process ends before it thaws them, the reaper kills them.
    pub(crate) fn note_frozen(&self, pids: &[Pid]) {
        let pids: Vec<_> = pids.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
        let mut reaper = self.reaper.0.lock().unwrap_or_else(PoisonError::into_inner);
        let input = reaper.stdin.as_mut().expect("the reaper's input is a pipe");
        writeln!(input, "{}", pids.join(" "))
            .expect("the reaper reads as long as this process lives");
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let reaper = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(reaper.kill());
        drop(reaper.wait());
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;
    use crate::process::{self, Owned, Place};
    use crate::{PATIENCE, eventually};

    #[test]
    fn the_directory_and_the_frozen_processes_of_a_dead_test_process_are_removed() {
        let directory = Directory::make();
        let path = directory.path().to_owned();
        std::fs::write(path.join("data"), "1").unwrap();
        let mut command = process::command(&Place::default(), Path::new("/bin/sleep"));
        command.arg("60");
        let sleeper = Owned::spawn(command);
        sleeper.freeze();
        directory.note_frozen(&[sleeper.pid()]);

        // The reaper's input ends, as when this process ends.
        drop(directory.reaper.0.lock().unwrap().stdin.take());
        eventually(PATIENCE, "the directory is removed", || !path.exists());
        let status = sleeper.wait(PATIENCE).unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(Signal::KILL.as_raw()));
    }
}
