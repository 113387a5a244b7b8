//! The settings of traces, by OpenTelemetry's and X-Ray's names.
//!
//! What is not here the SDK reads by itself: `OTEL_BSP_…`, limits of spans, `OTEL_EXPORTER_OTLP_HEADERS`.

use axum::http::Uri;
use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;

use crate::settings::{Environment, Given, SettingError};

const DAEMON: &str = "AWS_XRAY_DAEMON_ADDRESS";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// For `--help`: how traces are turned on.
pub const HELP: &str = "\
Traces are sent nowhere unless asked for:
  to X-Ray    AWS_XRAY_DAEMON_ADDRESS (host:port, UDP)
  by OTLP     OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (http://host:4318)
  besides     OTEL_TRACES_EXPORTER (none, xray, otlp), OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG,
              OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED";

/// What is made of traces.
#[derive(Debug, PartialEq)]
pub(super) struct TraceSettings {
    /// Where they are sent; nowhere if traces are off.
    pub(super) exporters: Vec<Exporter>,
    /// Who sends them.
    pub(super) service: String,
    /// What else is known of the sender.
    pub(super) attributes: Vec<KeyValue>,
    /// Which of them are sent.
    pub(super) sampling: Sampling,
}

/// A place where traces are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exporter {
    /// An X-Ray daemon, or what listens in its stead.
    Xray(Address),
    /// An OpenTelemetry collector, at this URL.
    Otlp(Uri),
}

/// Host and port. The host may be a name that nobody knows yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
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
    /// Reads the settings. `program` is the name of the service unless another is given.
    ///
    /// All of them are read, though traces may be off: nonsense is found before it is needed.
    pub(super) fn from_environment(
        environment: &Environment,
        program: &str,
    ) -> Result<Self, SettingError> {
        let daemon = environment.get(DAEMON)?.map(daemon).transpose()?.map(Exporter::Xray);
        let mut exporters = exporters(environment, daemon);
        if otel(environment, DISABLED, "true or false", boolean).unwrap_or(false) {
            exporters.clear();
        }
        let list = "a list such as `key=value,key=value`, percent-encoded";
        let mut attributes = otel(environment, ATTRIBUTES, list, attributes).unwrap_or_default();
        let named = attributes.extract_if(.., |it| it.key.as_str() == "service.name").last();
        let service = otel(environment, SERVICE, "UTF-8", |name| Some(name.to_owned()))
            .or(named.map(|named| named.value.to_string()))
            .unwrap_or_else(|| program.to_owned());
        Ok(Self { exporters, service, attributes, sampling: sampling(environment) })
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
    let value = match environment.get(name) {
        Ok(given) => read(given?.value),
        Err(_) => None,
    };
    if value.is_none() {
        tracing::warn!("{name} must be {expected}; it is ignored");
    }
    value
}

fn boolean(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

// ---- where to

fn exporters(environment: &Environment, daemon: Option<Exporter>) -> Vec<Exporter> {
    let collector = collector(environment).map(Exporter::Otlp);
    let local_daemon = || Exporter::Xray(Address { host: "127.0.0.1".to_owned(), port: 2000 });
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
fn daemon(given: Given<'_>) -> Result<Address, SettingError> {
    let read = || {
        let mut udp = None;
        for part in given.value.split_ascii_whitespace() {
            let rest = part.strip_prefix("udp:").or_else(|| part.strip_prefix("tcp:"));
            let address = address(rest.unwrap_or(part))?;
            if !part.starts_with("tcp:") && udp.replace(address).is_some() {
                return None;
            }
        }
        udp
    };
    read().ok_or_else(|| SettingError::new(given.name, "must be host:port, such as 127.0.0.1:2000"))
}

fn address(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None => url::Host::parse(host).ok().filter(|_| !host.contains('['))?.to_string(),
    };
    Some(Address { host, port })
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
