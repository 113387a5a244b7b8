//! The histograms of requests, looked up once a thread: by its labels in the registry each would be found again for every
//! request, with a string made of each label.

use std::cell::RefCell;

use axum::http::StatusCode;
use metrics::Histogram;

thread_local! {
    /// As many as there are methods, routes and statuses, none of which a client makes up.
    static KNOWN: RefCell<Vec<Series>> = const { RefCell::new(Vec::new()) };
}

struct Series {
    method: &'static str,
    route: Box<str>,
    status: StatusCode,
    seconds: Histogram,
}

/// One request more, and how long it took.
pub(super) fn record(method: &'static str, route: &str, status: StatusCode, seconds: f64) {
    KNOWN.with_borrow_mut(|known| {
        let found = known.iter().find(|series| {
            series.status == status && series.method == method && &*series.route == route
        });
        match found {
            Some(series) => series.seconds.record(seconds),
            None => {
                let series = Series {
                    method,
                    route: route.into(),
                    status,
                    seconds: registered(method, route, status),
                };
                series.seconds.record(seconds);
                known.push(series);
            }
        }
    });
}

fn registered(method: &'static str, route: &str, status: StatusCode) -> Histogram {
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route.to_owned(),
        "http_response_status_code" => status.as_str().to_owned(),
    )
}
