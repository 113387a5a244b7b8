//! Which trace a request belongs to, and how the next one in line is told: X-Ray's `x-amzn-trace-id` and W3C's
//! `traceparent`.
//!
//! Both are understood. Where they disagree `x-amzn-trace-id` holds: a load balancer of AWS and Envoy's X-Ray tracer write
//! that one alone, so it comes from the nearer hop. An Application Load Balancer names the trace and nothing else
//! (`Root=…`): the id is kept, and whether the trace is sampled is ours to decide, as it is where `Sampled` is `?`.
//!
//! What cannot be read is taken for absent, never for an error.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceId};

const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A longer header is not read: five times what a load balancer and a few services make of it.
const LONGEST: usize = 1024;

/// What a request says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span; a load balancer has none.
    pub parent: Option<SpanId>,
    /// Whether the trace is sampled; `None` leaves it to the next server.
    pub sampled: Option<bool>,
}

impl Caller {
    /// What the headers say, if they say anything.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match (xray(headers), w3c(headers)) {
            // A hop that knew only W3C's form has its span there.
            (Some(xray), Some(w3c)) if xray.parent.is_none() && xray.trace_id == w3c.trace_id => {
                Some(Self { sampled: xray.sampled.or(w3c.sampled), ..w3c })
            }
            (xray, w3c) => xray.or(w3c),
        }
    }
}

/// Says in both forms that `span` is the caller, in the headers of a request that is passed on.
///
/// What the headers carry besides stays: the other fields of `x-amzn-trace-id` (`Self`, `Lineage`, …), and `tracestate`
/// if it is of this trace.
pub fn inject(span: &SpanContext, headers: &mut HeaderMap) {
    let (trace_id, id, sampled) = (span.trace_id(), span.span_id(), u8::from(span.is_sampled()));
    let hex = trace_id.to_string();
    let (epoch, unique) = hex.split_at(8);
    let mut xray_form = format!("Root=1-{epoch}-{unique};Parent={id};Sampled={sampled}");
    for field in other_fields(headers) {
        // Writing to a string cannot fail.
        let _ = write!(xray_form, ";{field}");
    }
    if w3c(headers).is_none_or(|caller| caller.trace_id != trace_id) {
        headers.remove(TRACESTATE);
    }
    set(headers, XRAY, &xray_form);
    set(headers, TRACEPARENT, &format!("00-{trace_id}-{id}-{sampled:02x}"));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("ids and what came in a header"));
}

/// The one header of this name, as text. Two of them are two readings.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let text = values.next()?.to_str().ok()?;
    (values.next().is_none() && text.len() <= LONGEST).then_some(text)
}

// ---- X-Ray

fn xray(headers: &HeaderMap) -> Option<Caller> {
    let header = text(headers, XRAY)?;
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for (key, value) in fields(header) {
        match Key::of(key) {
            Key::Root => root = root.or(Some(value)),
            Key::Parent => parent = parent.or_else(|| span_id(value)),
            Key::Sampled => sampled = sampled.or_else(|| decision(value)),
            Key::Other => {}
        }
    }
    Some(Caller { trace_id: root_id(root?)?, parent, sampled })
}

enum Key {
    Root,
    Parent,
    Sampled,
    Other,
}

impl Key {
    fn of(key: &str) -> Self {
        // In any case: some proxies write them in lower case.
        match key {
            key if key.eq_ignore_ascii_case("root") => Self::Root,
            key if key.eq_ignore_ascii_case("parent") => Self::Parent,
            key if key.eq_ignore_ascii_case("sampled") => Self::Sampled,
            _ => Self::Other,
        }
    }
}

fn fields(header: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = header.split(';').filter_map(|field| field.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim()))
}

/// What a readable `x-amzn-trace-id` says besides trace, parent and decision.
fn other_fields(headers: &HeaderMap) -> Vec<String> {
    let header = text(headers, XRAY).filter(|_| xray(headers).is_some()).unwrap_or_default();
    let others = fields(header).filter(|(key, _)| matches!(Key::of(key), Key::Other));
    others.map(|(key, value)| format!("{key}={value}")).collect()
}

/// `1-` and 8 digits of the time `-` 24 more.
fn root_id(root: &str) -> Option<TraceId> {
    let (epoch, unique) = root.strip_prefix("1-")?.split_once('-')?;
    let whole = epoch.len() == 8 && is_hex(epoch) && unique.len() == 24 && is_hex(unique);
    whole.then(|| trace_id(&[epoch, unique].concat()))?
}

fn decision(sampled: &str) -> Option<bool> {
    match sampled {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

// ---- W3C Trace Context, level 1

fn w3c(headers: &HeaderMap) -> Option<Caller> {
    let mut parts = text(headers, TRACEPARENT)?.trim().split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = version.len() == 2 && is_hex(version) && version != "ff";
    // A later version may have more parts, this one has not.
    if !known || (version == "00" && parts.next().is_some()) || flags.len() != 2 {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok().filter(|_| is_hex(flags))?;
    Some(Caller {
        trace_id: trace_id(trace)?,
        parent: Some(span_id(parent)?),
        sampled: Some(flags & 1 == 1),
    })
}

fn trace_id(hex: &str) -> Option<TraceId> {
    let id = TraceId::from_hex(hex).ok().filter(|_| hex.len() == 32 && is_hex(hex))?;
    (id != TraceId::INVALID).then_some(id)
}

fn span_id(hex: &str) -> Option<SpanId> {
    let id = SpanId::from_hex(hex).ok().filter(|_| hex.len() == 16 && is_hex(hex))?;
    (id != SpanId::INVALID).then_some(id)
}

/// Whether all of it is digits: the parsers of numbers take a sign as well.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
