//! From nothing to a stack that is healthy, and back to nothing.

use std::time::Instant;

use testbed::http;

use crate::docker::{Compose, docker, ended, said};
use crate::stack::{NODES, Stack};

const GENERATIONS: [Compose; 2] = [Compose::V1, Compose::V2];

#[test]
fn both_generations_of_compose_find_nothing_to_complain_about() {
    for compose in GENERATIONS {
        for profile in [&[][..], &["--profile", "traces"]] {
            let output = ended(compose.command("yelb").args(profile).args(["config", "--quiet"]));
            assert!(output.status.success(), "{compose:?}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{compose:?}");
        }
    }
}

#[test]
fn both_generations_of_compose_take_released_images_where_they_are_named() {
    for compose in GENERATIONS {
        let mut config = compose.command("yelb");
        config.env("YELB_IMAGES", "registry.example/someone/").env("YELB_TAG", "1.2.3");
        let text = said(config.arg("config"));
        for image in ["yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy"] {
            let image = format!("image: registry.example/someone/{image}:1.2.3");
            assert!(text.contains(&image), "{compose:?}: no {image} in {text}");
        }
        assert!(!text.contains("image: yelb"), "{compose:?} would build an image: {text}");
    }
}

#[test]
fn it_comes_up_healthy_counts_a_vote_and_leaves_nothing() {
    for compose in GENERATIONS {
        let began = Instant::now();
        let stack = Stack::up_with(compose);
        println!("{compose:?}: healthy after {:.1} s", began.elapsed().as_secs_f32());

        assert_eq!(stack.get("/api/ihop"), (200, "1".to_owned()));
        assert_eq!(stack.sql("select count from restaurants where name = 'ihop'"), "1");
        assert_eq!(stack.get("/api/pageviews"), (200, "1".to_owned()));
        assert!(http::get(stack.page(), "/").text().contains("<title>"));

        stack.down();
        let ours =
            format!("label=com.docker.compose.project={}", stack.named("").trim_end_matches('_'));
        for kind in ["container", "network", "volume"] {
            let mut list = docker(&[kind, "ls", "--quiet", "--filter", &ours]);
            let list = if kind == "container" { list.arg("--all") } else { &mut list };
            assert_eq!(said(list), "", "{compose:?}: a {kind} is left");
        }
    }
}

#[test]
fn votes_survive_down_and_up() {
    let stack = Stack::up();
    assert_eq!(stack.get("/api/ihop"), (200, "1".to_owned()));
    assert_eq!(stack.get("/api/pageviews"), (200, "1".to_owned()));
    said(stack.command().args(["down", "--timeout", "5"]));
    stack.start_all();
    stack.wait_until_healthy();
    assert_eq!(stack.get("/api/ihop"), (200, "2".to_owned()));
    assert_eq!(stack.get("/api/pageviews"), (200, "2".to_owned()));
}

#[test]
fn apps_and_sidecars_are_small() {
    let stack = Stack::up();
    assert_eq!(stack.get("/api/ihop").0, 200);
    let containers: Vec<String> = NODES
        .iter()
        .flat_map(|node| [stack.container(node), stack.container(&format!("{node}-envoy"))])
        .collect();
    let mut stats = docker(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"]);
    let table = said(stats.args(containers));
    println!("{table}");
    let sum: f64 = table.lines().map(mebibytes).sum();
    assert!(sum < 600.0, "{sum} MiB together:\n{table}");
}

/// The memory in a line such as `yelb-db 31.5MiB / 23.5GiB`.
fn mebibytes(line: &str) -> f64 {
    let used = line.split_whitespace().nth(1).unwrap();
    let number = |unit: &str| used.strip_suffix(unit).map(|number| number.parse::<f64>().unwrap());
    let gibibytes = number("GiB").map(|number| number * 1024.0);
    let kibibytes = number("KiB").map(|number| number / 1024.0);
    number("MiB").or(gibibytes).or(kibibytes).unwrap_or_else(|| panic!("{line}"))
}
