//! One version for the programs and their images.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::{PATIENCE, http};

use crate::yelb;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in crates/")
}

#[test]
fn the_program_its_metrics_and_its_images_tell_one_version() {
    let output = yelb().arg("--version").run_to_end(PATIENCE);
    assert_eq!(output.stdout, format!("yelb {VERSION}\n"), "{output:?}");

    let yelb = yelb().env("RUST_LOG", "info").env("YELB_ADMIN_PORT", "0").spawn();
    let metrics = http::get(yelb.address("admin"), "/metrics");
    let info = metrics.text().lines().find(|line| line.starts_with("yelb_build_info{"));
    let info = info.unwrap_or_else(|| panic!("no yelb_build_info in {metrics:?}"));
    for label in ["program=\"yelb\"".to_owned(), format!("version=\"{VERSION}\"")] {
        assert!(info.contains(&label) && info.ends_with("} 1"), "{label} in {info}");
    }

    // What an image's label says if the build is not told another version.
    let root = checkout();
    for (file, line) in [
        ("Dockerfile", format!("ARG VERSION={VERSION}")),
        ("docker-bake.hcl", format!("variable \"VERSION\" {{ default = \"{VERSION}\" }}")),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.lines().any(|found| found == line), "{file} has no line `{line}`");
    }
}

#[test]
fn it_can_be_asked_whether_it_lives() {
    let yelb = yelb().env("RUST_LOG", "info").spawn();
    let port = yelb.address("page").port().to_string();
    for arguments in [&["healthcheck"][..], &["healthcheck", "--ready"]] {
        let asked = crate::yelb().args(arguments).env("PORT", &port).run_to_end(PATIENCE);
        assert_eq!((asked.status.code(), asked.stderr.as_str()), (Some(0), ""), "{asked:?}");
    }
    yelb.kill();
    yelb.wait(PATIENCE);
    let asked = crate::yelb().arg("healthcheck").env("PORT", &port).run_to_end(PATIENCE);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(asked.stderr.contains(&format!("http://127.0.0.1:{port}/livez")), "{asked:?}");
}

#[test]
fn the_vote_of_a_release_is_counted_or_the_script_fails() {
    let script = checkout().join(".ci/release/vote");
    let vote = |url: &str| {
        let mut command = Command::new(&script);
        command.arg(url).env("VOTE_WAIT", "0").output().unwrap()
    };
    let yelb = yelb().spawn();
    let (page, _) = crate::addresses(&yelb);
    let output = vote(&format!("http://{page}/"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        said,
        format!("http://{page}: vote number 1 for ihop, 1 votes together\n"),
        "{output:?}"
    );
    assert_eq!(http::get(page, "/api/ihop").text(), "2");

    yelb.kill();
    yelb.wait(PATIENCE);
    let output = vote(&format!("http://{page}"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("gives no votes"), "{output:?}");
}
