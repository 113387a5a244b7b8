//! Who stops a daemon of our own when this program ends, be it by an interrupt or by being killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// The daemon's program.
pub(super) const NAME: &str = "dockerd";

/// Waits for the end of its input, which is the end of this program in whatever way. Then it stops the daemon, once: a
/// daemon that is told again and again leaves its containers alone. It is killed if it takes longer than a minute, four
/// times what it gives its containers.
///
/// The arguments are the daemon's process, its pid file, which it removes at its end, and the directory of its sockets.
const SCRIPT: &str = r#"
    read -r _
    if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = dockerd ]; then
        kill -TERM "$1"
        tries=0
        while [ -e "$2" ] && kill -0 "$1" 2>/dev/null && [ $tries -lt 300 ]; do
            sleep 0.2
            tries=$((tries + 1))
        done
        if [ -e "$2" ]; then kill -KILL "$1" 2>/dev/null; fi
    fi
    rm -rf -- "$2" "$3"
"#;

/// A process that outlives this one for as long as it takes to stop the daemon. Dropped, it does so at once.
#[derive(Debug)]
pub(super) struct Heir {
    /// None once dismissed.
    shell: Option<Child>,
    /// The daemon, if it is a child of this process.
    daemon: Option<Child>,
}

impl Heir {
    pub(super) fn of(process: u32, pid_file: &Path, sockets: &Path) -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "heir", &process.to_string()]).arg(pid_file).arg(sockets);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // As the daemon itself: an interrupt is when it is needed.
        command.process_group(0);
        let shell = command.spawn().context("cannot start a shell")?;
        Ok(Self { shell: Some(shell), daemon: None })
    }

    /// For a daemon that is a child of this process, which then has to see it off.
    pub(super) fn of_child(mut self, daemon: Child) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Lets the daemon live.
    pub(super) fn dismiss(mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.kill());
            drop(shell.wait());
        }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        let Some(mut shell) = self.shell.take() else { return };
        println!("container engine: being stopped");
        drop(shell.stdin.take());
        drop(shell.wait());
        if let Some(daemon) = &mut self.daemon {
            drop(daemon.wait());
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Something that goes by the daemon's name and ends as it does: told to, it removes its pid file.
    struct Stand {
        directory: tempfile::TempDir,
        daemon: Child,
    }

    impl Stand {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let program = directory.path().join(NAME);
            std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
            fs::create_dir(directory.path().join("sockets")).unwrap();
            let script = r#"
                trap 'rm "$1"; exit' TERM
                : >"$1"
                while :; do sleep 0.05; done
            "#;
            let mut command = Command::new(program);
            let pid_file = directory.path().join("pid");
            let daemon = command.args(["-c", script, "daemon"]).arg(&pid_file).spawn().unwrap();
            let began = Instant::now();
            while !pid_file.exists() {
                assert!(began.elapsed() < PATIENCE, "it has not started");
                thread::sleep(Duration::from_millis(5));
            }
            Self { directory, daemon }
        }

        fn heir(&self) -> Heir {
            let directory = self.directory.path();
            Heir::of(self.daemon.id(), &directory.join("pid"), &directory.join("sockets")).unwrap()
        }

        fn has_sockets(&self) -> bool {
            self.directory.path().join("sockets").exists()
        }
    }

    impl Drop for Stand {
        fn drop(&mut self) {
            drop(self.daemon.kill());
            drop(self.daemon.wait());
        }
    }

    #[test]
    fn an_heir_stops_the_daemon_and_clears_up() {
        let mut stand = Stand::start();
        drop(stand.heir());
        assert!(stand.daemon.wait().unwrap().success(), "it was told, and not killed");
        assert!(!stand.has_sockets());
    }

    #[test]
    fn a_dismissed_heir_does_nothing() {
        let mut stand = Stand::start();
        stand.heir().dismiss();
        assert_eq!(stand.daemon.try_wait().unwrap(), None);
        assert!(stand.has_sockets());
    }

    #[test]
    fn an_heir_leaves_a_stranger_alone_who_has_the_daemons_number() {
        let mut stand = Stand::start();
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        let directory = stand.directory.path();
        drop(Heir::of(stranger.id(), &directory.join("pid"), &directory.join("sockets")).unwrap());
        assert_eq!(stranger.try_wait().unwrap(), None);
        assert_eq!(stand.daemon.try_wait().unwrap(), None);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
