//! The images that the stack's own are made from, and those that it runs as they are.

use std::time::Duration;

use anyhow::{Result, bail};

use super::engine::Engine;
use super::quiet::Quiet;
use super::stand_in::{Kitchen, Recipe};
use crate::setup::{self, Set};

/// All of them are some hundred megabytes.
const PULL_LIMIT: Duration = Duration::from_mins(10);

/// Sees to it that the engine has every image: it has it already, or a registry has it, or a stand-in is made.
pub(super) fn provide(engine: &Engine) -> Result<()> {
    let mut kitchen = Kitchen::new(engine);
    // Registries that could not be reached. Asking once is enough.
    let mut away: Vec<&str> = Vec::new();
    for recipe in &Recipe::ALL {
        let Recipe { image, .. } = recipe;
        if let Some(found) = kitchen.find(recipe)? {
            println!("{image}: {found}");
            continue;
        }
        let registry = registry(image);
        if !away.contains(&registry) {
            match pull(engine, image)? {
                Ok(()) => continue,
                Err(why) => {
                    println!(
                        "    {registry} cannot be reached, so stand-ins take the place of its images: {why}"
                    );
                    away.push(registry);
                }
            }
        }
        if !setup::provide(&[Set::StandIns])? {
            bail!("{image} can neither be pulled nor be stood in for");
        }
        kitchen.make(recipe)?;
    }
    Ok(())
}

/// Gets an image from its registry. Answers why not if that one is out of reach.
fn pull(engine: &Engine, image: &str) -> Result<Result<(), String>> {
    let what = format!("pulling {image}");
    let mut command = engine.docker(&["pull", "--quiet", image]);
    let pulled = Quiet::new(&what, "pull", PULL_LIMIT).attempt(&mut command)?;
    if let Err(why) = &pulled
        && is_refusal(why)
    {
        bail!("{image} cannot be pulled: {why}");
    }
    Ok(pulled)
}

/// Whether it is a registry that says so, which knows the image not or not for us. A stand-in would only hide that.
fn is_refusal(error: &str) -> bool {
    ["manifest unknown", "not found", "access denied", "unauthorized", "no matching manifest"]
        .iter()
        .any(|word| error.contains(word))
}

/// The host in an image's name.
fn registry(image: &str) -> &str {
    image.split('/').next().unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_away_is_told_from_one_that_refuses() {
        for away in [
            r#"Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host"#,
            r#"Error response from daemon: Get "https://gcr.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)"#,
            "toomanyrequests: You have reached your pull rate limit.",
        ] {
            assert!(!is_refusal(away), "{away}");
        }
        for refusal in [
            "Error response from daemon: manifest for postgres:0 not found: manifest unknown: manifest unknown",
            "Error response from daemon: pull access denied for no/such, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            "Error response from daemon: no matching manifest for linux/s390x in the manifest list entries",
        ] {
            assert!(is_refusal(refusal), "{refusal}");
        }
    }

    #[test]
    fn an_image_names_its_registry() {
        assert_eq!(registry("docker.io/library/redis:7.2-bookworm"), "docker.io");
        assert_eq!(registry("gcr.io/distroless/cc-debian12:nonroot"), "gcr.io");
    }
}
