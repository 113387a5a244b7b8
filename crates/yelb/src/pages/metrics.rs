//! `docs/observe.md` has every metric of the three programs.

use std::fmt::Write;

use yelb_service::metrics::{Kind, Metric, OF_EVERY_SERVER, Unit};

#[test]
fn the_page_has_the_metrics_of_the_programs() {
    let text: String = groups().iter().map(|(of, metrics)| table(of, metrics)).collect();
    super::has("observe.md", &text);
}

#[test]
fn names_end_with_unit_and_type() {
    for metric in groups().iter().flat_map(|(_, metrics)| *metrics) {
        let Metric { name, kind, unit, .. } = metric;
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let base = name.trim_end_matches("_total");
        for one in [Unit::Seconds, Unit::Bytes] {
            assert_eq!(base.ends_with(&format!("_{}", one.as_str())), *unit == one, "{name}");
        }
    }
}

fn groups() -> [(&'static str, &'static [Metric]); 3] {
    [
        ("every program", &OF_EVERY_SERVER),
        ("`yelb-appserver` and `yelb`", &yelb_appserver::stores::METRICS),
        ("`yelb-ui`", &yelb_ui::upstream::METRICS),
    ]
}

/// A table of the metrics of some programs.
fn table(of: &str, metrics: &[Metric]) -> String {
    let mut text = format!("\n| of {of} | type, unit | labels | |\n|---|---|---|---|\n");
    for Metric { name, kind, unit, labels, help } in metrics {
        let unit =
            if *unit == Unit::Count { String::new() } else { format!(", {}", unit.as_str()) };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.name(), labels.join(", "));
        writeln!(text, "| `{name}` | {kind}{unit} | {labels} | {help} |").unwrap();
    }
    text
}
