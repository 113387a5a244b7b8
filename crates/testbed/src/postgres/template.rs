//! A data directory to copy: `initdb` takes seconds, a copy takes none.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::installation::{account, own, program};
use crate::directory::Directory;
use crate::path;
use crate::wait::PATIENCE;

/// The superuser's password in the original's database image, which its app server has built in.
pub(crate) const PASSWORD: &str = "postgres_password";

/// One for each version and recipe, made by the test that comes first and kept between runs.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    /// Raised when [`make`] changes.
    const RECIPE: u32 = 1;

    let version = version();

    let shelf = path::workspace().join("target/testbed");
    fs::create_dir_all(&shelf).expect("the target directory can be written");
    let template = shelf.join(format!("postgres-{version}-{RECIPE}"));
    let lock = File::create(shelf.join("lock")).expect("the target directory can be written");
    // Released with `lock`, or by the kernel with the process.
    lock.lock().expect("the file system has locks");
    if !template.exists() {
        make(&template, &version);
    }
    template
});

/// Of the server, such as `15.18`.
fn version() -> String {
    let home = Arc::new(Directory::make());
    let output = program("postgres", &home).arg("--version").run_to_end(PATIENCE);
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    output.stdout.split_whitespace().nth(2).unwrap_or("unknown").to_owned()
}

/// Makes a data directory of it, for the user that the server runs as.
pub(super) fn copy_to(data: &Path) {
    copy(&TEMPLATE, data);
}

/// Runs `initdb` in a temporary directory, which the server's user can reach wherever the checkout is, and puts the result
/// where it belongs in one step.
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
    // Small segments of the log, because every copy begins with one.
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
    // A server insists that no other user can read its data.
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
