//! The scripts by which a tag becomes a release: `.ci/release`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a release is made from, besides what is compiled.
const FILES: [&str; 7] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "docker-bake.hcl",
];

const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [9.8.7] - 2026-01-02\n\n### Fixed\n\n- The newest.\n\n\
    ## [9.8.6] - 2026-01-01\n\n- An older one.\n\n[9.8.7]: https://example.com/9.8.7\n";

/// A checkout that is about to release version 9.8.7.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let checkout = Self(tempfile::tempdir().unwrap());
        for file in FILES {
            let text = fs::read_to_string(source.join(file)).unwrap();
            checkout.write(file, &text.replace(env!("CARGO_PKG_VERSION"), "9.8.7"));
        }
        checkout.write("CHANGELOG.md", CHANGELOG);
        fs::create_dir_all(checkout.path(".ci/release")).unwrap();
        for script in fs::read_dir(source.join(".ci/release")).unwrap() {
            let script = script.unwrap();
            let copy = checkout.path(".ci/release").join(script.file_name());
            fs::copy(script.path(), copy).unwrap();
        }
        checkout
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// A program that is found before the machine's own.
    fn write_program(&self, name: &str, script: &str) -> PathBuf {
        let program = self.path("bin").join(name);
        fs::create_dir_all(self.path("bin")).unwrap();
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", r#"PATH="$PWD/bin:$PATH" exec "$@""#, "bash"]);
        command.arg(format!(".ci/release/{script}")).args(arguments);
        command.envs([("VERSION", "9.8.7"), ("REGISTRY", "registry.example/o/")]);
        command.env("REVISION", "0123abc").current_dir(self.0.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    #[track_caller]
    fn says(&self, script: &str, arguments: &[&str]) -> String {
        let output = self.run(script, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[track_caller]
    fn refuses(&self, script: &str, arguments: &[&str], why: &str) {
        let output = self.run(script, arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{why} in {said}");
    }
}

#[test]
fn a_tag_releases_the_version_that_every_file_has() {
    let checkout = Checkout::new();
    assert_eq!(checkout.says("version", &["v9.8.7"]), "9.8.7");
    checkout.refuses("version", &["v9.8.8"], "Cargo.toml has version 9.8.7");
    checkout.refuses("version", &["9.8.7"], "its form is v1.2.3");
    checkout.refuses("version", &["v9.8.7; date"], "its form is v1.2.3");
    for file in ["Cargo.lock", "Dockerfile", "docker-bake.hcl", "CHANGELOG.md"] {
        let text = fs::read_to_string(checkout.path(file)).unwrap();
        checkout.write(file, &text.replace("9.8.7", "9.8.5"));
        checkout.refuses("version", &["v9.8.7"], file);
        checkout.write(file, &text);
    }
    checkout.write("CHANGELOG.md", &CHANGELOG.replace(" - 2026-01-02", ""));
    checkout.refuses("version", &["v9.8.7"], "no heading ## [9.8.7] - YEAR-MONTH-DAY");
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let checkout = Checkout::new();
    assert_eq!(checkout.says("notes", &["9.8.7"]), "### Fixed\n\n- The newest.");
    assert_eq!(checkout.says("notes", &["9.8.6"]), "- An older one.");
    for nothing in ["Unreleased", "9.8.5", "9.8"] {
        checkout.refuses("notes", &[nothing], &format!("nothing under the heading ## [{nothing}]"));
    }
}

#[test]
fn an_archive_of_the_same_files_is_the_same_and_its_checksum_verifies() {
    let checkout = Checkout::new();
    let program = checkout.write_program("yelb", "echo yelb 9.8.7");
    let program = program.to_str().unwrap();
    let pack = || {
        let name = checkout.says("archive", &[program, "9.8.7", "linux-x86_64", "dist"]);
        assert_eq!(name, "dist/yelb-9.8.7-linux-x86_64.tar.gz");
        fs::read(checkout.path(&name)).unwrap()
    };
    let first = pack();
    // Another time of change is no other file.
    checkout.write_program("yelb", "echo yelb 9.8.7");
    assert!(first == pack());

    checkout.says("checksums", &["dist"]);
    let verified = Command::new("sh")
        .args(["-c", "cd dist && sha256sum --check SHA256SUMS && tar xzf *.tar.gz && yelb-*/yelb"])
        .current_dir(checkout.0.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(said, "yelb-9.8.7-linux-x86_64.tar.gz: OK\nyelb 9.8.7\n", "{verified:?}");

    let wrong = [program, "9.8.8", "linux-x86_64", "dist"];
    checkout.refuses("archive", &wrong, "says that it is yelb 9.8.7, and not yelb 9.8.8");
    fs::create_dir(checkout.path("empty")).unwrap();
    checkout.refuses("checksums", &["empty"], "empty has no files");
}

#[test]
fn images_are_built_by_architecture_and_published_as_one() {
    let checkout = Checkout::new();
    // A client that notes what it is asked for, and knows a digest.
    let docker = r#"echo "$TAG $REVISION $*" >> docker.log
case "$*" in *"inspect --format {{json .Manifest}}"*) echo '{"digest": "sha256:abc", "size": 1}' ;; esac"#;
    checkout.write_program("docker", docker);
    let asked = || {
        let log = fs::read_to_string(checkout.path("docker.log")).unwrap();
        fs::remove_file(checkout.path("docker.log")).unwrap();
        log
    };

    checkout.says("images", &["build", "arm64"]);
    let build = asked();
    assert!(
        build.starts_with("9.8.7-arm64 0123abc buildx bake --file docker-bake.hcl --push"),
        "{build}"
    );
    assert!(build.contains("*.platform=linux/arm64") && build.contains("--sbom=true"), "{build}");

    checkout.says("images", &["publish"]);
    let published = asked();
    let yelb = "imagetools create --tag registry.example/o/yelb:9.8.7 \
        registry.example/o/yelb:9.8.7-amd64 registry.example/o/yelb:9.8.7-arm64";
    assert!(published.contains(yelb) && !published.contains("latest"), "{published}");
    checkout.says("images", &["latest"]);
    let latest = asked();
    let yelb = "create --tag registry.example/o/yelb:latest registry.example/o/yelb:9.8.7\n";
    assert!(latest.contains(yelb), "{latest}");

    // What docker-bake.hcl builds is what is published, and what is signed.
    let bake = fs::read_to_string(checkout.path("docker-bake.hcl")).unwrap();
    let group = bake.lines().find(|line| line.trim_start().starts_with("targets")).unwrap();
    let names: Vec<&str> = group.split('"').skip(1).step_by(2).collect();
    let digests: Vec<String> =
        names.iter().map(|name| format!("registry.example/o/{name}@sha256:abc")).collect();
    assert_eq!(checkout.says("images", &["digests"]).lines().collect::<Vec<_>>(), digests);
    assert_eq!((published.lines().count(), latest.lines().count()), (names.len(), names.len()));

    checkout.refuses("images", &["build", "riscv64"], "builds those of amd64 or arm64");
    checkout.write_program("docker", "echo 'no such manifest' >&2; exit 1");
    checkout.refuses("images", &["digests"], "no such manifest");
}

#[test]
fn images_go_to_a_registry_whose_name_can_be_one() {
    let checkout = Checkout::new();
    assert_eq!(checkout.says("registry", &["SomeOne", ""]), "ghcr.io/someone/");
    for right in ["docker.io/someone/", "localhost:5000/", "registry.example/a/b-c/"] {
        assert_eq!(checkout.says("registry", &["someone", right]), right);
    }
    for wrong in ["ghcr.io/Someone/", "ghcr.io/someone", "https://ghcr.io/someone/", "someone/"] {
        checkout.refuses("registry", &["someone", wrong], &format!("YELB_REGISTRY is '{wrong}'"));
    }
}

#[test]
fn a_bill_of_materials_is_of_its_program() {
    let checkout = Checkout::new();
    // One that writes a bill beside the manifest of each crate, as cargo-cyclonedx does.
    let writes = |parts: &str| {
        let cargo = r#"for crate in crates/testbed crates/yelb yelb-ui yelb-appserver; do
    mkdir -p $crate
    component='{"name": "'${crate##*/}'", "version": "9.8.7"}'
    echo '{"metadata": {"component": '$component'}, "components": [PARTS]}' > $crate/yelb-sbom.json
done"#;
        checkout.write_program("cargo", &cargo.replace("PARTS", parts));
    };
    writes(r#"{"name": "tokio"}, {"name": "tikv-jemallocator"}"#);
    checkout.says("sbom", &["9.8.7", "dist"]);
    for program in ["yelb", "yelb-ui", "yelb-appserver"] {
        let bill = checkout.path(&format!("dist/{program}-9.8.7.cdx.json"));
        assert!(fs::read_to_string(bill).unwrap().contains(&format!("\"{program}\"")));
    }
    assert!(!checkout.path("crates/testbed/yelb-sbom.json").exists(), "left behind");
    checkout.refuses("sbom", &["9.8.8", "other"], "is of yelb 9.8.7");
    writes(r#"{"name": "tokio"}"#);
    checkout.refuses("sbom", &["9.8.7", "other"], "lacks what yelb-ui is made of");
}
