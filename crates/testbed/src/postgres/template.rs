//! A data directory that each test's server copies: `initdb` takes seconds, a copy takes much less.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::installation::{account, own, program};
use crate::directory::Directory;
use crate::path;
use crate::wait::PATIENCE;

/// The superuser's password in the original's database image. The code of the original's app server contains it.
pub(crate) const PASSWORD: &str = "postgres_password";

/// The directory for this version of Postgres. The first test that needs the directory makes it. Later runs use the same one.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    /// Raise it when [`make`] changes. The directory is then made again.
    const REVISION: u32 = 1;

    let version = version();

    let shelf = path::workspace().join("target/testbed");
    fs::create_dir_all(&shelf).expect("the target directory can be written");
    let template = shelf.join(format!("postgres-{version}-{REVISION}"));
    let lock = File::create(shelf.join("lock")).expect("the target directory can be written");
    // Dropping `lock` releases the lock. If the process is killed, the kernel releases it.
    lock.lock().expect("the file system has locks");
    if !template.exists() {
        make(&template, &version);
    }
    template
});

/// The version of the installed Postgres, such as `15.18`.
fn version() -> String {
    let home = Arc::new(Directory::make());
    let output = program("postgres", &home).arg("--version").run_to_end(PATIENCE);
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    output.stdout.split_whitespace().nth(2).unwrap_or("unknown").to_owned()
}

/// Copies the template to `data`, and makes the server's user its owner.
pub(super) fn copy_to(data: &Path) {
    copy(&TEMPLATE, data);
}

/// Runs `initdb` in a temporary directory, because the server's user may not be able to read the checkout. The result is copied
/// and then renamed, so that a template is always complete.
fn make(template: &Path, version: &str) {
    let home = Arc::new(Directory::make());
    own(home.path());
    let password = home.path().join("password");
    fs::write(&password, PASSWORD).expect("a temporary file can be written");
    own(&password);

    let initdb = program("initdb", &home)
        .run_by(account())
        .args(["--pgdata=data", "--pwfile=password"])
        .args(["--username=postgres", "--auth=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
    // Every copy contains a segment of the write-ahead log: 1 MB in place of 16.
    let is_older = version.starts_with("10.");
    let initdb = if is_older { initdb } else { initdb.arg("--wal-segsize=1") };
    let output = initdb.run_to_end(4 * PATIENCE);
    assert!(output.status.success(), "initdb failed: {output:?}");

    let unfinished = template.with_extension("unfinished");
    drop(fs::remove_dir_all(&unfinished));
    copy(&home.path().join("data"), &unfinished);
    fs::rename(&unfinished, template).expect("a directory can be renamed");
}

fn copy(from: &Path, to: &Path) {
    try_copy(from, to).unwrap_or_else(|error| {
        panic!("cannot copy {} to {}: {error}", from.display(), to.display())
    });
}

fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    // Postgres does not start if other users can read its data.
    DirBuilder::new().mode(0o700).create(to)?;
    own(to);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            own(&target);
        }
    }
    Ok(())
}
