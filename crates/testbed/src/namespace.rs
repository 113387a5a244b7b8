//! Networks of a test's own.

use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::process::getuid;

use crate::directory::Directory;
use crate::path;
use crate::process::{self, Network, Owned, Place};
use crate::wait::PATIENCE;

/// Keeps the namespace while no other process is in it. Every user may have low ports, as in a container.
const KEEPER: &str = "
    ip link set lo up &&
    echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start &&
    echo ready && exec sleep infinity
";

/// A network of the test's own, with nothing in it but the loopback interface and what the test adds: a network namespace of
/// Linux, as the containers of a task or a pod share one.
///
/// Cloning it clones a handle. It has no name that could collide with another's, and is gone with the last handle and the
/// last program in it, or with the test process. Making one takes root on Linux, and `ip`.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Keeper>);

/// The process that keeps a namespace.
#[derive(Debug)]
struct Keeper {
    process: Owned,
    /// Has the file that programs inside see as `/etc/hosts`.
    directory: Directory,
}

impl Namespace {
    /// Makes one.
    #[track_caller]
    pub fn start() -> Self {
        assert!(
            cfg!(target_os = "linux") && getuid().is_root(),
            "network namespaces are Linux's, and only root makes them: run this test as root on Linux"
        );
        path::find("ip", "iproute2");
        let directory = Directory::make();
        let unshare = path::find("unshare", "util-linux");
        let mut command = process::command(&Place::default(), &unshare);
        command.args(["--net", "--", "/bin/sh", "-c", KEEPER]);
        let process = Owned::spawn(command);
        let ready = process.lines().find(PATIENCE, |_, line| (line == "ready").then_some(()));
        if let Err(missing) = ready {
            panic!("no network namespace can be made: {missing}; {}", process.lines())
        }
        let namespace = Self(Arc::new(Keeper { process, directory }));
        namespace.set_hosts("127.0.0.1 localhost\n");
        namespace
    }

    /// The id of a process that is in it as long as it exists, for `ip link … netns PID`.
    pub fn pid(&self) -> u32 {
        self.0.process.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// What the programs inside have for `/etc/hosts`. Those that are running see it, too.
    pub fn set_hosts(&self, hosts: &str) {
        fs::write(self.hosts(), hosts).expect("a temporary file can be written");
    }

    /// Does something inside. A socket that is opened there belongs there, wherever it is used afterwards.
    ///
    /// Programs are not started there by this: see [`crate::Program::inside`].
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(&door(self.pid()), None, act)
    }

    /// As [`Self::within`], and as another user; `id` is their uid and their gid.
    pub fn within_as<T: Send>(&self, id: u32, act: impl FnOnce() -> T + Send) -> T {
        within(&door(self.pid()), Some(id), act)
    }

    /// The way in, for programs.
    pub(crate) fn network(&self) -> Network {
        Network { door: door(self.pid()), hosts: self.hosts() }
    }

    fn hosts(&self) -> PathBuf {
        self.0.directory.path().join("hosts")
    }
}

/// Does something in the network that a process is in, such as one of a container. It takes root on Linux.
pub fn within_network_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> T {
    within(&door(pid), None, act)
}

fn door(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// A thread enters a namespace and changes its user for good, so it is one that has nothing else to do.
fn within<T: Send>(door: &Path, user: Option<u32>, act: impl FnOnce() -> T + Send) -> T {
    let door = File::open(door).expect("a namespace exists as long as a process is in it");
    let done = thread::scope(|scope| {
        let inside = move || {
            kernel::enter(&door).expect("root may enter a namespace");
            if let Some(user) = user {
                kernel::become_user(user).expect("root may become any user");
            }
            act()
        };
        scope.spawn(inside).join()
    });
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What the kernel does to the thread that asks for it.
#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::File;
    use std::os::fd::AsFd;

    use rustix::io::Result;
    use rustix::process::{Gid, Uid};
    use rustix::thread::{
        LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    };

    pub(super) fn enter(namespace: &File) -> Result<()> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
    }

    pub(super) fn become_user(id: u32) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    }
}

/// There is no namespace here: [`Namespace::start`] has said so.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::fs::File;

    use rustix::io::{Errno, Result};

    pub(super) fn enter(_: &File) -> Result<()> {
        Err(Errno::NOSYS)
    }

    pub(super) fn become_user(_: u32) -> Result<()> {
        Err(Errno::NOSYS)
    }
}
