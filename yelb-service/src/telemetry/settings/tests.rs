use super::*;

fn read(variables: &[(&str, &str)]) -> Result<TraceSettings, String> {
    let environment = variables.iter().copied().collect();
    TraceSettings::from_environment(&environment, "yelb").map_err(|error| error.to_string())
}

fn exporters_of(variables: &[(&str, &str)]) -> Vec<Exporter> {
    read(variables).unwrap().exporters
}

fn xray(host: &str, port: u16) -> Exporter {
    Exporter::Xray(Address { host: host.to_owned(), port })
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
    assert_eq!(exporters_of(&[("OTEL_SDK_DISABLED", "TRUE"), daemon, collector]), []);
}

#[test]
fn the_service_is_named() {
    let attributes =
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a, deployment.environment.name=x%2Cy");
    let settings = read(&[attributes]).unwrap();
    assert_eq!(settings.service, "a");
    assert_eq!(settings.attributes, [KeyValue::new("deployment.environment.name", "x,y")]);
    assert_eq!(read(&[attributes, ("OTEL_SERVICE_NAME", "b")]).unwrap().service, "b");
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
fn nonsense_names_the_setting() {
    let url = "must be an http:// URL, such as http://127.0.0.1:4318";
    let address = "must be host:port, such as 127.0.0.1:2000";
    let list = "must be a list such as `key=value,key=value`, percent-encoded";
    for (name, value, expected) in [
        (DAEMON, "xray", address),
        (DAEMON, "xray:0", address),
        (DAEMON, "xray:port", address),
        (DAEMON, "tcp:xray:2000", address),
        (DAEMON, "udp:a:1 udp:b:2", address),
        (DAEMON, "a:1 tcp:b", address),
        (DAEMON, "[a]:1", address),
        (DAEMON, "a b:1", address),
        (DAEMON, " ", address),
        (ENDPOINT, "otel:4318", url),
        (ENDPOINT, "https://otel:4318", url),
        (ENDPOINT, "http://user:secret@otel:4318", url),
        (TRACES_ENDPOINT, "http://", url),
        (TRACES_ENDPOINT, "http://otel:99999", url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "must be http/protobuf"),
        (EXPORTER, "zipkin", "must be none, or a list of xray and otlp"),
        (EXPORTER, "none,xray", "must be none, or a list of xray and otlp"),
        (EXPORTER, "xray,", "must be none, or a list of xray and otlp"),
        ("OTEL_SDK_DISABLED", "yes", "must be true or false"),
        ("OTEL_RESOURCE_ATTRIBUTES", "key", list),
        ("OTEL_RESOURCE_ATTRIBUTES", "=value", list),
        ("OTEL_RESOURCE_ATTRIBUTES", "key=%ff", list),
        (SAMPLER_ARG, "1.5", "must be a number from 0 to 1"),
        (SAMPLER_ARG, "NaN", "must be a number from 0 to 1"),
        (
            SAMPLER,
            "xray",
            "must be always_on, always_off or traceidratio, or one of them after `parentbased_`",
        ),
    ] {
        assert_eq!(read(&[(name, value)]), Err(format!("{name}: {expected}")), "{name}={value}");
    }
}

#[test]
fn nonsense_is_found_though_traces_are_off() {
    assert!(read(&[("OTEL_SDK_DISABLED", "true"), (DAEMON, "xray")]).is_err());
    assert!(read(&[(EXPORTER, "none"), (ENDPOINT, "otel")]).is_err());
}
