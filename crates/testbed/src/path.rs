//! Where things are: the workspace, and the programs of the system.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub(crate) fn workspace() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("Cargo.lock").is_file()).expect("a workspace has a lock")
}

/// Where a program is; without it there is nothing to test with, and the message says how to get it.
#[track_caller]
pub(crate) fn find(name: &str, package: &str) -> PathBuf {
    look_for(name).unwrap_or_else(|| missing(name, package))
}

/// Where a program is on the path.
pub(crate) fn look_for(name: &str) -> Option<PathBuf> {
    env::split_paths(&path()?).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[track_caller]
pub(crate) fn missing(name: &str, package: &str) -> ! {
    panic!("`{name}` ({package}) is missing: install it, or run `cargo xtask test` which does")
}

#[expect(clippy::disallowed_methods, reason = "where programs are is no setting of ours")]
pub(crate) fn path() -> Option<OsString> {
    env::var_os("PATH")
}
