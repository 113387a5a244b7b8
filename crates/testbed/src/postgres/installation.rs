//! PostgreSQL as it is installed on this machine.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustix::process::getuid;

use crate::directory::Directory;
use crate::path;
use crate::process::User;
use crate::program::Program;

/// One of PostgreSQL's programs. Where a server comes without its client, the client is another version's, which is meant to
/// work with it.
#[track_caller]
pub(super) fn program(name: &str, home: &Arc<Directory>) -> Program {
    let program = binaries().join(name);
    let program = if program.is_file() { program } else { path::find(name, "PostgreSQL's client") };
    // macOS: without a locale the server's start is multi-threaded, which it refuses.
    Program::at_home(program, home).env("LC_ALL", "C")
}

/// The directory of the server's programs. Debian keeps them off the path, a version each.
fn binaries() -> &'static Path {
    static BINARIES: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        if let Some(postgres) = path::look_for("postgres") {
            return fs::canonicalize(postgres).ok()?.parent().map(Path::to_owned);
        }
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let versions =
            versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let installed = versions
            .map(|version| (version, PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))));
        let (_, newest) = installed.filter(|(_, bin)| bin.join("postgres").is_file()).max()?;
        Some(newest)
    });
    BINARIES.as_deref().unwrap_or_else(|| path::missing("postgres", "PostgreSQL's server"))
}

/// PostgreSQL refuses to run as root. Then it runs as the user its package made.
pub(crate) fn account() -> Option<User> {
    static ACCOUNT: LazyLock<Option<User>> = LazyLock::new(|| {
        if !getuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = users.lines().find_map(|line| line.strip_prefix("postgres:"));
        let mut fields = user?.split(':').skip(1);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(User { uid, gid, reads_everything: false })
    });
    assert!(
        ACCOUNT.is_some() || !getuid().is_root(),
        "there is no user `postgres`, and PostgreSQL does not run as root: run the tests as an ordinary user, or run \
         `cargo xtask test`, which installs PostgreSQL with that user"
    );
    *ACCOUNT
}

/// Gives a file to the user the server runs as.
pub(crate) fn own(path: &Path) {
    if let Some(User { uid, gid, .. }) = account() {
        chown(path, Some(uid), Some(gid)).expect("root can give a file away");
    }
}
