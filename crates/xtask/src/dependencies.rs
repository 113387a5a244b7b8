//! Dependencies that no source names.
//!
//! rustc's `unused_crate_dependencies` looks at one target at a time, and calls unused in a library what only the binary
//! beside it uses; cargo-machete and cargo-shear are programs to install first. What they do is a few lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report::Outcome;
use crate::run;

/// The check.
pub(crate) fn check() -> Result<Outcome> {
    let arguments = ["metadata", "--no-deps", "--format-version=1", "--locked"];
    let metadata = run::output(&mut run::cargo(&arguments)).context("cargo metadata failed")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;

    let mut unused = Vec::new();
    for package in packages {
        unused.extend(unused_of(package)?);
    }
    unused.extend(unused_of_workspace(
        &fs::read_to_string(run::root().join("Cargo.toml"))?,
        packages,
    ));
    if unused.is_empty() {
        return Ok(Outcome::success());
    }
    Ok(Outcome::failure(&format!("no source names {}", unused.join(", "))))
}

/// A package's dependencies that its sources do not name: those of its library and programs, or, for a dependency of
/// development, all. Some are there for the sake of their features, which `package.metadata.for-features` says.
fn unused_of(package: &Value) -> Result<Vec<String>> {
    let manifest =
        Path::new(package["manifest_path"].as_str().context("a package has a manifest")?);
    let directory = manifest.parent().context("a manifest is in a directory")?;
    let (shipped, all) = (code(&directory.join("src"))?, code(directory)?);
    let for_features = package["metadata"]["for-features"].as_array().cloned().unwrap_or_default();
    let is_unused = |dependency: &&Value| {
        let name = dependency["rename"].as_str().unwrap_or(name(dependency)).replace('-', "_");
        let sources = if dependency["kind"].is_null() { &shipped } else { &all };
        !for_features.contains(&dependency["name"]) && !names(sources, &name)
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    Ok(dependencies
        .filter(is_unused)
        .map(|it| format!("{} of {}", name(it), name(package)))
        .collect())
}

/// Dependencies of the workspace that no package has.
fn unused_of_workspace(manifest: &str, packages: &[Value]) -> Vec<String> {
    let dependencies = |package: &Value| package["dependencies"].as_array().cloned();
    let used: Vec<Value> = packages.iter().filter_map(dependencies).flatten().collect();
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let stated = section.take_while(|line| !line.starts_with('['));
    let stated = stated.filter_map(|line| Some(line.split_once(" = ")?.0));
    let unused = stated.filter(|stated| !used.iter().any(|it| name(it) == *stated));
    unused.map(|stated| format!("{stated} of the workspace")).collect()
}

fn name(thing: &Value) -> &str {
    thing["name"].as_str().unwrap_or_default()
}

/// Whether a text has this word.
fn names(text: &str, word: &str) -> bool {
    let is_apart = |letter: char| !letter.is_alphanumeric() && letter != '_';
    text.split(is_apart).any(|other| other == word)
}

/// The lines of all Rust files below a directory, but for those that are comments.
fn code(directory: &Path) -> Result<String> {
    let mut code = String::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            code += &self::code(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.for_each(|line| code.extend([line, "\n"]));
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("src/lib.rs", "use tower_http::x; // and\n// url\nstruct Hyperbole;");
        write("tests/it.rs", "use tempfile::tempdir;");
        let dependency = |name: &str, kind: Option<&str>| json!({ "name": name, "kind": kind });
        let package = json!({
            "name": "yelb",
            "manifest_path": directory.path().join("Cargo.toml"),
            "metadata": { "for-features": ["rustls"] },
            "dependencies": [
                dependency("tower-http", None), dependency("url", None), dependency("hyper", None),
                dependency("rustls", None), dependency("tempfile", Some("dev")), dependency("tempfile", None),
            ],
        });
        assert_eq!(
            unused_of(&package).unwrap(),
            ["url of yelb", "hyper of yelb", "tempfile of yelb"]
        );

        let manifest = "[workspace.dependencies]\n# For x.\nurl = \"2\"\nbytes = \"1\"\n[profile.dev]\ndebug = 0";
        assert_eq!(unused_of_workspace(manifest, &[package]), ["bytes of the workspace"]);
    }
}
