//! Temporary directories that go with the test process, however it ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::spawner;

/// Waits for the end of its input, which is the end of the test process. Then it removes what would be left: the directory,
/// and processes that stand still and so cannot notice that their parent is gone. Each line of its input lists the processes
/// that stand still at that time. The second is for the others to die, who were still writing.
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
    /// Ended after the directory is removed: fields are dropped in their order.
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
        // Out of reach of an interrupt typed at the terminal: that is when it is needed.
        command.process_group(0);
        let reaper = spawner::spawn(command).expect("there is a shell");
        Self { directory, reaper: Reaper(Mutex::new(reaper)) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Notes which processes stand still and are to be killed should this process end before it lets them go on.
    pub(crate) fn note_frozen(&self, pids: &[Pid]) {
        let pids: Vec<_> = pids.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
        let mut reaper = self.reaper.0.lock().unwrap_or_else(PoisonError::into_inner);
        let input = reaper.stdin.as_mut().expect("its input is a pipe of ours");
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
    fn what_is_left_of_a_dead_test_process_is_cleared_up() {
        let directory = Directory::make();
        let path = directory.path().to_owned();
        std::fs::write(path.join("data"), "1").unwrap();
        let mut command = process::command(&Place::default(), Path::new("/bin/sleep"));
        command.arg("60");
        let sleeper = Owned::spawn(command);
        sleeper.freeze();
        directory.note_frozen(&[sleeper.pid()]);

        // What the reaper sees of the end of this process: its input ends.
        drop(directory.reaper.0.lock().unwrap().stdin.take());
        eventually(PATIENCE, "the directory is removed", || !path.exists());
        let status = sleeper.wait(PATIENCE).unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(Signal::KILL.as_raw()));
    }
}
