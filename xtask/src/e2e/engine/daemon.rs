//! A container engine of our own: Docker's daemon with all its files below `target/e2e`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::answers;
use super::heir::{Heir, NAME};
use crate::e2e::{directory, quiet};
use crate::run;

/// Thirty times what it takes.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The pause between two questions whether it answers.
const GLANCE: Duration = Duration::from_millis(100);

/// The beginning of the names of directories for sockets.
const SOCKETS: &str = "/tmp/yelb-e2e-";

/// A daemon that we have started, in this run or in one before it.
#[derive(Debug)]
pub(super) struct Daemon {
    process: u32,
    /// Its sockets and whatever else is gone with it. A socket's path has at most 107 bytes, and the path of a checkout may
    /// be longer than that.
    sockets: PathBuf,
}

impl Daemon {
    /// The one that an earlier run has left running, if it is still there.
    pub(super) fn kept() -> Option<Self> {
        let sockets = recorded_sockets()?;
        let process: u32 = fs::read_to_string(pid_file()).ok()?.trim().parse().ok()?;
        (process_name(&process.to_string())? == NAME).then_some(Self { process, sockets })
    }

    /// Starts one and waits until it answers. It comes with its heir, who is there in case that this is interrupted.
    pub(super) fn start() -> Result<(Self, Heir)> {
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
        let engine = directory().join("engine");
        fs::create_dir_all(&engine)?;
        // Its own settings, and none of those of an engine that the machine may have as well.
        let settings = engine.join("daemon.json");
        fs::write(&settings, "{}\n")?;
        let sockets = make_sockets()?;
        let log =
            File::create(log()).with_context(|| format!("cannot write {}", log().display()))?;

        let mut command = run::command(NAME, &["--host", &host(&sockets)]);
        command.arg("--config-file").arg(settings);
        command.arg("--data-root").arg(engine.join("data"));
        command.arg("--exec-root").arg(sockets.join("exec"));
        command.arg("--pidfile").arg(pid_file());
        command.stdout(log.try_clone()?).stderr(log);
        // Out of reach of an interrupt typed at the terminal: its heir decides.
        command.process_group(0);
        let mut process = command.spawn().with_context(|| format!("cannot start {NAME}"))?;
        let daemon = Self { process: process.id(), sockets };
        let heir = daemon.heir()?;
        daemon.wait(&mut process)?;
        Ok((daemon, heir.of_child(process)))
    }

    /// Where it listens, as `$DOCKER_HOST` has it.
    pub(super) fn host(&self) -> String {
        host(&self.sockets)
    }

    /// Who stops it when this program ends.
    pub(super) fn heir(&self) -> Result<Heir> {
        Heir::of(self.process, &pid_file(), &self.sockets)
    }

    fn wait(&self, process: &mut Child) -> Result<()> {
        let began = Instant::now();
        while !answers(&self.host()) {
            let ended = process.try_wait()?;
            if ended.is_some() || began.elapsed() > START_LIMIT {
                println!("{}", quiet::last_lines(&log()));
                let how =
                    ended.map_or("it does not answer".to_owned(), |status| status.to_string());
                bail!("{NAME} could not be started ({how}), see {}", log().display());
            }
            thread::sleep(GLANCE);
        }
        println!("container engine: answers after {:.1} s", began.elapsed().as_secs_f32());
        Ok(())
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

/// Makes a directory for the sockets, and notes which for a later run.
fn make_sockets() -> Result<PathBuf> {
    // Of a daemon that was kept and then stopped by hand.
    if let Some(former) = recorded_sockets() {
        drop(fs::remove_dir_all(former));
    }
    let path = Path::new(SOCKETS);
    let (parent, prefix) =
        (path.parent().expect("not the root"), path.file_name().expect("a name"));
    let sockets = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?.keep();
    fs::write(record(), sockets.to_string_lossy().as_bytes())?;
    Ok(sockets)
}

fn recorded_sockets() -> Option<PathBuf> {
    let sockets = fs::read_to_string(record()).ok()?;
    sockets.starts_with(SOCKETS).then(|| PathBuf::from(sockets))
}

fn record() -> PathBuf {
    directory().join("engine/sockets")
}

fn host(sockets: &Path) -> String {
    format!("unix://{}/docker.sock", sockets.display())
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
        process_name(process).is_some_and(|name| name == NAME)
            && fs::read_link(network).is_ok_and(|network| network == ours)
    })
}

fn process_name(pid: &str) -> Option<String> {
    let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm")).ok()?;
    Some(name.trim_end().to_owned())
}
