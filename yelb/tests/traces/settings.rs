//! Settings of traces, as whoever starts a program gets them wrong.

use testbed::PATIENCE;

use crate::program;

#[test]
fn nonsense_ends_a_program_with_one_line() {
    for name in ["yelb", "yelb-appserver", "yelb-ui"] {
        for (setting, value) in [
            ("AWS_XRAY_DAEMON_ADDRESS", "xray"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector:4318"),
            ("OTEL_RESOURCE_ATTRIBUTES", "nonsense"),
            ("OTEL_SDK_DISABLED", "maybe"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ] {
            let output = program(name, &[(setting, value)]).run_to_end(PATIENCE);
            assert_eq!(output.status.code(), Some(2), "{name} {setting}");
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
            assert!(
                output.stderr.starts_with(&format!("{name}: {setting}: must be ")),
                "{}",
                output.stderr
            );
        }
    }
}

#[test]
fn help_tells_how_traces_are_turned_on() {
    for name in ["yelb", "yelb-appserver", "yelb-ui"] {
        let help = program(name, &[]).arg("--help").run_to_end(PATIENCE).stdout;
        assert!(
            help.contains("AWS_XRAY_DAEMON_ADDRESS") && help.contains("OTEL_TRACES_SAMPLER"),
            "{help}"
        );
    }
}
