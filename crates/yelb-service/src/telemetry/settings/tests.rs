use std::io;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tracing::subscriber::with_default;

use super::*;
use crate::settings::{Refusal, try_parse};

/// What a process has of its own settings.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: TelemetryConfig,
}

const DAEMON: &str = "AWS_XRAY_DAEMON_ADDRESS";

fn read(variables: &[(&str, &str)]) -> Result<TraceSettings, String> {
    let environment = variables.iter().copied().collect();
    match try_parse::<Cli>(&environment, &[], ["yelb".into()]) {
        Ok((cli, _)) => Ok(TraceSettings::new(&cli.config, &environment, "yelb")),
        Err(Refusal::Mistake(line)) => Err(line),
        Err(Refusal::Asked(answer)) => panic!("{answer}"),
    }
}

/// The lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is read, and what is said of it in the log.
fn read_aloud(variables: &[(&str, &str)]) -> (Result<TraceSettings, String>, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone());
    let settings = with_default(log.finish(), || read(variables));
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (settings, said)
}

fn exporters_of(variables: &[(&str, &str)]) -> Vec<Exporter> {
    read(variables).unwrap().exporters
}

fn xray(host: &str, port: u16) -> Exporter {
    Exporter::Xray(Endpoint { host: host.parse().unwrap(), port })
}

fn otlp(url: &'static str) -> Exporter {
    Exporter::Otlp(Uri::from_static(url))
}

#[test]
fn traces_are_off_unless_asked_for() {
    let expected = TraceSettings {
        exporters: Vec::new(),
        service: "yelb".to_owned(),
        attributes: Vec::new(),
        sampling: Sampling { parent_based: true, ratio: 1.0 },
    };
    assert_eq!(read(&[]), Ok(expected));
}

#[test]
fn an_address_turns_an_exporter_on() {
    assert_eq!(exporters_of(&[(DAEMON, "xray:2000")]), [xray("xray", 2000)]);
    assert_eq!(
        exporters_of(&[(DAEMON, "xray:2000"), (ENDPOINT, "http://otel:4318")]),
        [xray("xray", 2000), otlp("http://otel:4318/v1/traces")]
    );
}

#[test]
fn the_daemon_is_named_as_x_rays_libraries_name_it() {
    for (given, expected) in [
        ("169.254.79.129:2000", xray("169.254.79.129", 2000)),
        ("[::1]:2000", xray("::1", 2000)),
        ("udp:xray-daemon:2000", xray("xray-daemon", 2000)),
        ("tcp:a:2001 udp:b:2002", xray("b", 2002)),
        ("udp:b:2002 tcp:a:2001", xray("b", 2002)),
    ] {
        assert_eq!(exporters_of(&[(DAEMON, given)]), [expected], "{given}");
    }
}

#[test]
fn the_endpoint_of_traces_is_taken_as_it_is() {
    for (name, given, expected) in [
        (ENDPOINT, "http://otel:4318/", "http://otel:4318/v1/traces"),
        (ENDPOINT, "http://otel/base/", "http://otel/base/v1/traces"),
        (TRACES_ENDPOINT, "http://otel:4318/v1/traces", "http://otel:4318/v1/traces"),
        (TRACES_ENDPOINT, "http://otel:4318", "http://otel:4318/"),
    ] {
        assert_eq!(exporters_of(&[(name, given)]), [otlp(expected)], "{name}={given}");
    }
    let both = [(ENDPOINT, "http://a:1"), (TRACES_ENDPOINT, "http://b:2/traces")];
    assert_eq!(exporters_of(&both), [otlp("http://b:2/traces")]);
}

#[test]
fn the_list_of_exporters_wins_over_the_addresses() {
    let (daemon, collector) = ((DAEMON, "a:1"), (ENDPOINT, "http://b:2"));
    assert_eq!(exporters_of(&[(EXPORTER, "none"), daemon, collector]), []);
    assert_eq!(exporters_of(&[(EXPORTER, "xray"), daemon, collector]), [xray("a", 1)]);
    assert_eq!(
        exporters_of(&[(EXPORTER, "otlp, xray,otlp")]),
        [otlp("http://localhost:4318/v1/traces"), xray("127.0.0.1", 2000)]
    );
    assert_eq!(exporters_of(&[(DISABLED, "TRUE"), daemon, collector]), []);
}

#[test]
fn the_service_is_named() {
    let attributes = (ATTRIBUTES, "service.name=a, deployment.environment.name=x%2Cy");
    let settings = read(&[attributes]).unwrap();
    assert_eq!(settings.service, "a");
    assert_eq!(settings.attributes, [KeyValue::new("deployment.environment.name", "x,y")]);
    assert_eq!(read(&[attributes, (SERVICE, "b")]).unwrap().service, "b");
}

#[test]
fn samplers_are_known_by_opentelemetrys_names() {
    for (name, arg, parent_based, ratio) in [
        ("always_on", "0.5", false, 1.0),
        ("always_off", "", false, 0.0),
        ("traceidratio", "0.25", false, 0.25),
        ("parentbased_always_on", "", true, 1.0),
        ("parentbased_always_off", "", true, 0.0),
        ("parentbased_traceidratio", "0.1", true, 0.1),
        ("parentbased_traceidratio", "", true, 1.0),
    ] {
        let settings = read(&[(SAMPLER, name), (SAMPLER_ARG, arg)]).unwrap();
        assert_eq!(settings.sampling, Sampling { parent_based, ratio }, "{name} {arg}");
    }
}

#[test]
fn a_daemons_address_that_is_none_is_refused() {
    for value in [
        "xray",
        "xray:0",
        "xray:port",
        "tcp:xray:2000",
        "udp:a:1 udp:b:2",
        "a:1 tcp:b",
        "[a]:1",
        "a b:1",
        " ",
    ] {
        let expected = format!("{DAEMON}: {NO_DAEMON}, got {value:?}");
        assert_eq!(read(&[(DAEMON, value)]), Err(expected), "{value}");
    }
    assert!(read(&[(DISABLED, "true"), (DAEMON, "xray")]).is_err(), "though traces are off");
}

#[test]
fn what_opentelemetry_does_not_know_is_warned_about_and_ignored() {
    let url = "must be an http:// URL, such as http://127.0.0.1:4318";
    let list = "must be a list such as `key=value,key=value`, percent-encoded";
    let exporters = "must be none, or a list of xray and otlp";
    let samplers =
        "must be always_on, always_off or traceidratio, or one of them after `parentbased_`";
    for (name, value, expected) in [
        (ENDPOINT, "otel:4318", url),
        (ENDPOINT, "https://otel:4318", url),
        (ENDPOINT, "http://user:secret@otel:4318", url),
        (TRACES_ENDPOINT, "http://", url),
        (TRACES_ENDPOINT, "http://otel:99999", url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "must be none"),
        (EXPORTER, "zipkin", exporters),
        (EXPORTER, "none,xray", exporters),
        (EXPORTER, "xray,", exporters),
        (DISABLED, "yes", "must be true or false"),
        (DISABLED, "1", "must be true or false"),
        (ATTRIBUTES, "key", list),
        (ATTRIBUTES, "a=b,=value", list),
        (ATTRIBUTES, "key=%ff", list),
        (SAMPLER, "xray", samplers),
    ] {
        let (settings, said) = read_aloud(&[(name, value)]);
        assert_eq!(settings, read(&[]), "{name}={value}");
        assert_eq!(said, format!(" WARN {name} {expected}; it is ignored\n"), "{name}={value}");
    }
}

#[test]
fn a_ratio_is_read_for_the_samplers_that_have_one() {
    for ratio in ["1.5", "NaN", "endpoint=http://localhost:2000"] {
        let (settings, said) = read_aloud(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, ratio)]);
        assert_eq!(settings.unwrap().sampling, Sampling { parent_based: false, ratio: 1.0 });
        let expected = format!(" WARN {SAMPLER_ARG} must be a number from 0 to 1; it is ignored\n");
        assert_eq!(said, expected, "{ratio}");

        let (settings, said) = read_aloud(&[(SAMPLER, "always_off"), (SAMPLER_ARG, ratio)]);
        assert_eq!(settings.unwrap().sampling, Sampling { parent_based: false, ratio: 0.0 });
        assert_eq!(said, "", "{ratio}");
    }
}
