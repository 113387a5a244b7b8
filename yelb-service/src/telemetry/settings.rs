//! The settings of traces, by OpenTelemetry's and X-Ray's names.
//!
//! All that is read is read here. OpenTelemetry's SDK looks for more by itself (`OTEL_BSP_…`, limits of spans); it is
//! given values instead, so that a slip in one of those is not obeyed in silence.

use axum::http::Uri;
use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;

use crate::settings::{Environment, Given, SettingError};

const DAEMON: &str = "AWS_XRAY_DAEMON_ADDRESS";
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
        let service = environment.get("OTEL_SERVICE_NAME")?;
        let mut attributes = attributes(environment)?;
        let named =
            attributes.iter().position(|attribute| attribute.key.as_str() == "service.name");
        let named = named.map(|at| attributes.remove(at).value.to_string());
        let mut exporters = exporters(environment)?;
        if disabled(environment)? {
            exporters.clear();
        }
        Ok(Self {
            exporters,
            service: service
                .map(|given| given.value.to_owned())
                .or(named)
                .unwrap_or_else(|| program.to_owned()),
            attributes,
            sampling: sampling(environment)?,
        })
    }
}

fn disabled(environment: &Environment) -> Result<bool, SettingError> {
    let Some(given) = environment.get("OTEL_SDK_DISABLED")? else { return Ok(false) };
    match given.value {
        value if value.eq_ignore_ascii_case("true") => Ok(true),
        value if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(SettingError::new(given.name, "must be true or false")),
    }
}

// ---- where to

fn exporters(environment: &Environment) -> Result<Vec<Exporter>, SettingError> {
    let daemon = environment.get(DAEMON)?.map(daemon).transpose()?.map(Exporter::Xray);
    let collector = collector(environment)?.map(Exporter::Otlp);
    let Some(asked) = environment.get(EXPORTER)? else {
        return Ok(daemon.into_iter().chain(collector).collect());
    };
    let mut exporters = Vec::new();
    let names: Vec<&str> = asked.value.split(',').map(str::trim).collect();
    for name in &names {
        let exporter = match *name {
            "none" if names.len() == 1 => break,
            "xray" => daemon.clone().unwrap_or_else(local_daemon),
            "otlp" => collector.clone().unwrap_or_else(local_collector),
            _ => {
                return Err(SettingError::new(
                    EXPORTER,
                    "must be none, or a list of xray and otlp",
                ));
            }
        };
        if !exporters.contains(&exporter) {
            exporters.push(exporter);
        }
    }
    Ok(exporters)
}

fn local_daemon() -> Exporter {
    Exporter::Xray(Address { host: "127.0.0.1".to_owned(), port: 2000 })
}

fn local_collector() -> Exporter {
    Exporter::Otlp(Uri::from_static("http://localhost:4318/v1/traces"))
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

fn collector(environment: &Environment) -> Result<Option<Uri>, SettingError> {
    for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
        if environment.get(name)?.is_some_and(|given| given.value != "http/protobuf") {
            return Err(SettingError::new(name, "must be http/protobuf"));
        }
    }
    let base = environment.get(ENDPOINT)?.map(|given| url(given, "v1/traces")).transpose()?;
    // The one for traces is taken as it is, by OpenTelemetry's rules.
    let own = environment.get(TRACES_ENDPOINT)?.map(|given| url(given, "")).transpose()?;
    Ok(own.or(base))
}

fn url(given: Given<'_>, path: &str) -> Result<Uri, SettingError> {
    let read = || {
        let url = url::Url::parse(given.value).ok()?;
        // Without a login, which would end in a log, and without TLS, which is the mesh's to do.
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        let ours = url.has_host() && url.query().is_none() && url.fragment().is_none();
        let base = url.as_str().trim_end_matches('/');
        let whole =
            if path.is_empty() { url.as_str().to_owned() } else { format!("{base}/{path}") };
        whole.parse().ok().filter(|_| plain && ours)
    };
    read().ok_or_else(|| {
        SettingError::new(given.name, "must be an http:// URL, such as http://127.0.0.1:4318")
    })
}

// ---- who sends

/// `key=value,key=value`, the values percent-encoded.
fn attributes(environment: &Environment) -> Result<Vec<KeyValue>, SettingError> {
    let Some(given) = environment.get("OTEL_RESOURCE_ATTRIBUTES")? else { return Ok(Vec::new()) };
    let pairs = given.value.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(attribute).collect::<Option<_>>().ok_or_else(|| {
        SettingError::new(
            given.name,
            "must be a list such as `key=value,key=value`, percent-encoded",
        )
    })
}

fn attribute(pair: &str) -> Option<KeyValue> {
    let (key, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    (!key.trim().is_empty()).then(|| KeyValue::new(key.trim().to_owned(), value.into_owned()))
}

// ---- which are sent

fn sampling(environment: &Environment) -> Result<Sampling, SettingError> {
    let ratio = match environment.get(SAMPLER_ARG)? {
        None => 1.0,
        Some(given) => given
            .value
            .parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| SettingError::new(given.name, "must be a number from 0 to 1"))?,
    };
    let name = environment.get(SAMPLER)?.map_or("parentbased_always_on", |given| given.value);
    let (parent_based, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name),
    };
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => ratio,
        _ => {
            let expected = "must be always_on, always_off or traceidratio, or one of them after `parentbased_`";
            return Err(SettingError::new(SAMPLER, expected));
        }
    };
    Ok(Sampling { parent_based, ratio })
}

#[cfg(test)]
mod tests;
