//! Prometheus' text format.

/// The names of the metrics in this text that have no `# HELP`.
pub fn undescribed(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let is_described = |name: &str| text.contains(&format!("# HELP {name} "));
    names.filter(|name| !is_described(name)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_metric_without_help_is_found() {
        let text = "# HELP a_total All.\n# TYPE a_total counter\na_total 1\n# TYPE b gauge\nb 1\n";
        assert_eq!(super::undescribed(text), ["b"]);
    }
}
