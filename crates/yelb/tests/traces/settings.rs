//! Settings of traces, as an operator gets them wrong.

use testbed::{PATIENCE, eventually, http};

use crate::{NO_STORES, program};

const PROGRAMS: [(&str, &str); 3] =
    [("yelb", "page"), ("yelb-appserver", "api"), ("yelb-ui", "page")];

#[test]
fn a_daemons_address_that_is_none_ends_a_program_with_one_line() {
    for (name, _) in PROGRAMS {
        let setting = "AWS_XRAY_DAEMON_ADDRESS";
        let output = program(name, &[(setting, "xray")]).run_to_end(PATIENCE);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(
            output.stderr.starts_with(&format!("{name}: {setting}: expected host:port")),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn what_a_platform_sets_for_others_ends_no_program() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_RESOURCE_ATTRIBUTES", "nonsense"),
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "xray"),
    ];
    for (name, listener) in PROGRAMS {
        let argument = ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://127.0.0.1:2000");
        let stores = if name == "yelb-appserver" { &NO_STORES[..] } else { &[] };
        let program = program(name, &[&variables[..], &[argument], stores].concat())
            .env("RUST_LOG", "info")
            .spawn();
        assert_eq!(http::get(program.address(listener), "/livez").status, 200, "{name}");
        for (setting, _) in variables {
            eventually(PATIENCE, "the log names the setting once", || {
                program.stderr().matches(&format!("{setting} must be ")).count() == 1
            });
        }
        assert!(!program.stderr().contains(argument.0), "of no use to this sampler");
    }
}

#[test]
fn help_tells_how_traces_are_turned_on() {
    for (name, _) in PROGRAMS {
        let help = program(name, &[]).arg("--help").run_to_end(PATIENCE).stdout;
        assert!(
            help.contains("AWS_XRAY_DAEMON_ADDRESS") && help.contains("OTEL_TRACES_SAMPLER"),
            "{help}"
        );
    }
}
