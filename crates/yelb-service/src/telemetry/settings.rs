//! The settings of traces, by OpenTelemetry's and X-Ray's names.
//!
//! What is not here the SDK reads by itself: `OTEL_BSP_…`, limits of spans, `OTEL_EXPORTER_OTLP_HEADERS`.

use axum::http::Uri;
use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;
use tracing::Level;
use yelb_resolver::Endpoint;

use super::log::LogFilter;
use crate::settings::Environment;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// For `--help`: OpenTelemetry's variables, which have no flags.
pub const VARIABLES: &str = "\
OpenTelemetry's variables: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT sends traces to a collector \
(http://host:4318); besides, OTEL_TRACES_EXPORTER, OTEL_SDK_DISABLED, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, \
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS and OTEL_BSP_….";

const NO_DAEMON: &str = "expected host:port, such as 127.0.0.1:2000";

/// What a process tells of itself.
#[derive(Debug, Clone, clap::Args)]
pub struct TelemetryConfig {
    /// What is logged: a level, or a list such as `info,yelb_db=debug`; `info` unless set, `warn` for `yelb`
    #[arg(long = "log", env = "RUST_LOG", value_name = "FILTER")]
    log: Option<LogFilter>,
    /// X-Ray daemon, or a collector in its place, to send traces to by UDP; off unless set
    #[arg(long = "xray-daemon", env = "AWS_XRAY_DAEMON_ADDRESS", value_name = "HOST:PORT", value_parser = daemon_address)]
    daemon: Option<Endpoint>,
}

impl TelemetryConfig {
    pub(super) fn filter(&self, default: Level) -> LogFilter {
        self.log.clone().unwrap_or_else(|| LogFilter::at(default))
    }
}

/// What is made of traces.
#[derive(Debug, PartialEq)]
pub(super) struct TraceSettings {
    /// Where they are sent; nowhere if traces are off.
    pub(super) exporters: Vec<Exporter>,
    /// The name of the service in the traces.
    pub(super) service: String,
    /// More attributes of the service.
    pub(super) attributes: Vec<KeyValue>,
    /// Which of them are sent.
    pub(super) sampling: Sampling,
}

/// A place where traces are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exporter {
    /// An X-Ray daemon, or what listens in its stead.
    Xray(Endpoint),
    /// An OpenTelemetry collector, at this URL.
    Otlp(Uri),
}

/// Which traces are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampling {
    /// Whether a decision that was made before us is obeyed.
    pub(super) parent_based: bool,
    /// The share of the others, from 0 to 1.
    pub(super) ratio: f64,
}

impl TraceSettings {
    /// Reads the variables. `program` is the name of the service unless another is given.
    pub(super) fn new(config: &TelemetryConfig, environment: &Environment, program: &str) -> Self {
        let mut exporters = exporters(environment, config.daemon.clone().map(Exporter::Xray));
        if otel(environment, DISABLED, "true or false", boolean).unwrap_or(false) {
            exporters.clear();
        }
        let list = "a list such as `key=value,key=value`, percent-encoded";
        let mut attributes = otel(environment, ATTRIBUTES, list, attributes).unwrap_or_default();
        let named = attributes.extract_if(.., |it| it.key.as_str() == "service.name").last();
        let service = otel(environment, SERVICE, "UTF-8", |name| Some(name.to_owned()))
            .or(named.map(|named| named.value.to_string()))
            .unwrap_or_else(|| program.to_owned());
        Self { exporters, service, attributes, sampling: sampling(environment) }
    }
}

/// One of OpenTelemetry's variables. A platform may set them for all that it runs, whether a program knows the value or
/// not; so the specification has a value that cannot be used warned about and ignored. `expected` completes "must be …".
fn otel<T>(
    environment: &Environment,
    name: &'static str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let value = environment.get(name)?.to_str().and_then(read);
    if value.is_none() {
        tracing::warn!("{name} must be {expected}; its value is ignored, as if it were not set");
    }
    value
}

fn boolean(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

// ---- where to

fn exporters(environment: &Environment, daemon: Option<Exporter>) -> Vec<Exporter> {
    let collector = collector(environment).map(Exporter::Otlp);
    let local_daemon =
        || Exporter::Xray(daemon_address("127.0.0.1:2000").expect("this constant is an address"));
    let local_collector = || Exporter::Otlp(Uri::from_static("http://localhost:4318/v1/traces"));
    let named = |names: &str| {
        let mut exporters = Vec::new();
        for name in names.split(',').map(str::trim) {
            let exporter = match name {
                "none" if names.trim() == name => break,
                "xray" => daemon.clone().unwrap_or_else(local_daemon),
                "otlp" => collector.clone().unwrap_or_else(local_collector),
                _ => return None,
            };
            if !exporters.contains(&exporter) {
                exporters.push(exporter);
            }
        }
        Some(exporters)
    };
    otel(environment, EXPORTER, "none, or a list of xray and otlp", named)
        .unwrap_or_else(|| daemon.into_iter().chain(collector).collect())
}

/// `host:port`, or what X-Ray's own libraries take besides: `udp:host:port`, also after or before `tcp:host:port`, which
/// is for sampling rules and of no use here.
fn daemon_address(text: &str) -> Result<Endpoint, &'static str> {
    let mut udp = None;
    for part in text.split_ascii_whitespace() {
        let address = part.strip_prefix("udp:").or(part.strip_prefix("tcp:")).unwrap_or(part);
        let address = Endpoint::parse(address, None).map_err(|_| NO_DAEMON)?;
        if !part.starts_with("tcp:") && udp.replace(address).is_some() {
            return Err(NO_DAEMON);
        }
    }
    udp.ok_or(NO_DAEMON)
}

fn collector(environment: &Environment) -> Option<Uri> {
    for (name, known) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
    ] {
        otel(environment, name, known, |value| (value == known).then_some(()));
    }
    let expected = "an http:// URL, such as http://127.0.0.1:4318";
    let base = otel(environment, ENDPOINT, expected, |base| {
        url(&format!("{}/v1/traces", base.trim_end_matches('/')))
    });
    // The one for traces is taken as it is, by OpenTelemetry's rules.
    otel(environment, TRACES_ENDPOINT, expected, url).or(base)
}

fn url(text: &str) -> Option<Uri> {
    let url = url::Url::parse(text).ok()?;
    // Without a login, which would end in a log, and without TLS, which is the mesh's to do.
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    let ours = url.has_host() && url.query().is_none() && url.fragment().is_none();
    url.as_str().parse().ok().filter(|_| plain && ours)
}

// ---- who sends

/// `key=value,key=value`, the values percent-encoded.
fn attributes(list: &str) -> Option<Vec<KeyValue>> {
    list.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(attribute).collect()
}

fn attribute(pair: &str) -> Option<KeyValue> {
    let (key, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    (!key.trim().is_empty()).then(|| KeyValue::new(key.trim().to_owned(), value.into_owned()))
}

// ---- which are sent

fn sampling(environment: &Environment) -> Sampling {
    let expected = "always_on, always_off or traceidratio, or one of them after `parentbased_`";
    let named = |name: &str| {
        let root = name.strip_prefix("parentbased_");
        let ratio = match root.unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio(environment),
            _ => return None,
        };
        Some(Sampling { parent_based: root.is_some(), ratio })
    };
    otel(environment, SAMPLER, expected, named)
        .unwrap_or(Sampling { parent_based: true, ratio: 1.0 })
}

/// Of use to two samplers only: others' arguments have other forms.
fn ratio(environment: &Environment) -> f64 {
    let share = |text: &str| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    otel(environment, SAMPLER_ARG, "a number from 0 to 1", share).unwrap_or(1.0)
}

#[cfg(test)]
mod tests;
