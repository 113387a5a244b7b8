//! A container engine of our own: Docker's daemon with all its files below `target/e2e`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::answers;
use crate::e2e::{directory, quiet};
use crate::run;

/// Thirty times what it takes.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The pause between two questions whether it answers.
const GLANCE: Duration = Duration::from_millis(100);

/// Waits for the end of its input, which is the end of this program in whatever way. Then it stops the daemon, once: a
/// daemon that is told again and again leaves its containers alone. It is killed if it takes longer than a minute, four
/// times what it gives its containers.
///
/// The arguments are the daemon's pid file, which it removes at its end, and the directory of its sockets.
const HEIR: &str = r#"
    read -r _
    pid=$(cat "$1" 2>/dev/null)
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        kill -TERM "$pid"
        tries=0
        while [ -e "$1" ] && kill -0 "$pid" 2>/dev/null && [ $tries -lt 300 ]; do
            sleep 0.2
            tries=$((tries + 1))
        done
        if [ -e "$1" ]; then kill -KILL "$pid" 2>/dev/null; fi
    fi
    rm -rf -- "$1" "$2"
"#;

/// A daemon that we have started, in this run or in one before it.
#[derive(Debug)]
pub(super) struct Daemon {
    host: String,
    /// Its sockets and whatever else is gone with it. A socket's path has at most 107 bytes, and the path of a checkout may
    /// be longer than that.
    sockets: PathBuf,
}

impl Daemon {
    /// The one that an earlier run has left running, if it is still there.
    pub(super) fn kept() -> Option<Self> {
        let sockets = PathBuf::from(fs::read_to_string(record()).ok()?);
        let pid = fs::read_to_string(pid_file()).ok()?;
        let is_daemon = process_name(pid.trim()).is_some_and(|name| name == "dockerd");
        is_daemon.then(|| Self::listening_in(sockets))
    }

    /// Starts one and waits until it answers.
    pub(super) fn start() -> Result<Self> {
        if run::answer("id", &["-u"]).as_deref() != Some("0") {
            bail!(
                "no container engine answers: start Docker, name one in DOCKER_HOST, or run this as root, who can start one"
            );
        }
        if let Some(pid) = rival() {
            bail!(
                "another container engine runs here (process {pid}), and a second one would take its network apart: name it in DOCKER_HOST, or stop it"
            );
        }
        let data = directory().join("engine/data");
        fs::create_dir_all(&data)?;
        let sockets = tempfile::Builder::new().prefix("yelb-e2e-").tempdir_in("/tmp")?.keep();
        fs::write(record(), sockets.to_string_lossy().as_bytes())?;
        let daemon = Self::listening_in(sockets);

        // Its own settings, and none of those of an engine that the machine may have as well.
        let settings = directory().join("engine/daemon.json");
        fs::write(&settings, "{}\n")?;
        let log =
            File::create(log()).with_context(|| format!("cannot write {}", log().display()))?;
        let mut command = run::command("dockerd", &["--host", &daemon.host]);
        command.arg("--config-file").arg(settings);
        command.arg("--data-root").arg(data);
        command.arg("--exec-root").arg(daemon.sockets.join("exec"));
        command.arg("--pidfile").arg(pid_file());
        command.stdout(log.try_clone()?).stderr(log);
        // Out of reach of an interrupt typed at the terminal: its heir decides.
        command.process_group(0);
        let mut process = command.spawn().context("cannot start dockerd")?;
        // Should anything go wrong from here on, and should this program be interrupted.
        let heir = daemon.heir()?;
        daemon.wait(&mut process)?;
        heir.dismiss();
        Ok(daemon)
    }

    fn listening_in(sockets: PathBuf) -> Self {
        Self { host: format!("unix://{}", sockets.join("docker.sock").display()), sockets }
    }

    /// Where it listens, as `$DOCKER_HOST` has it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Who stops it when this program ends.
    pub(super) fn heir(&self) -> Result<Heir> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", HEIR, "heir"]).arg(pid_file()).arg(&self.sockets);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // As the daemon itself: an interrupt is when it is needed.
        command.process_group(0);
        Ok(Heir { shell: Some(command.spawn().context("cannot start a shell")?) })
    }

    fn wait(&self, process: &mut Child) -> Result<()> {
        let began = Instant::now();
        while !answers(&self.host) {
            let ended = process.try_wait()?;
            if ended.is_some() || began.elapsed() > START_LIMIT {
                println!("{}", quiet::last_lines(&log()));
                let how =
                    ended.map_or("it does not answer".to_owned(), |status| status.to_string());
                bail!("dockerd could not be started ({how}), see {}", log().display());
            }
            thread::sleep(GLANCE);
        }
        println!("container engine: answers after {:.1} s", began.elapsed().as_secs_f32());
        Ok(())
    }
}

/// A process that outlives this one for as long as it takes to stop the daemon.
#[derive(Debug)]
pub(super) struct Heir {
    shell: Option<Child>,
}

impl Heir {
    /// Lets the daemon live.
    fn dismiss(mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.kill());
            drop(shell.wait());
        }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            println!("container engine: being stopped");
            drop(shell.stdin.take());
            drop(shell.wait());
        }
    }
}

/// What the daemon says.
pub(super) fn log() -> PathBuf {
    directory().join("dockerd.log")
}

/// Where it notes its process, as long as it runs.
pub(super) fn pid_file() -> PathBuf {
    directory().join("engine/dockerd.pid")
}

/// Where a later run reads which directory the sockets are in.
fn record() -> PathBuf {
    directory().join("engine/sockets")
}

/// The process of a daemon that is not ours and shares this network: the rules of one are the other's to delete.
fn rival() -> Option<String> {
    let ours = fs::read_link("/proc/self/ns/net").ok()?;
    let mut processes = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    processes.find(|process| {
        let network = Path::new("/proc").join(process).join("ns/net");
        process_name(process).is_some_and(|name| name == "dockerd")
            && fs::read_link(network).is_ok_and(|network| network == ours)
    })
}

fn process_name(pid: &str) -> Option<String> {
    let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm")).ok()?;
    Some(name.trim_end().to_owned())
}
