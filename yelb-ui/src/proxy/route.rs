//! The app server's routes, as yelb-ui's log, metrics and traces name them.

use std::sync::LazyLock;

use yelb_poll::Poll;
use yelb_service::observe::Route;

/// The routes that are the same for every poll.
const READS: [&str; 5] =
    ["/api/getvotes", "/api/pageviews", "/api/getstats", "/api/hostname", "/api/stream"];
/// Every other path: clients choose it, so it must not become a label of a metric.
const OTHER: &str = "/api/{*path}";

/// The route of each restaurant's votes.
static VOTES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let choices = Poll::default().choices();
    choices.iter().map(|choice| format!("/api/{}", choice.id)).collect()
});

/// The route of a request for `path`. An escaped path, such as `/api/%69hop`, is another path here.
pub(super) fn of(path: &str) -> Route {
    let votes = VOTES.iter().map(String::as_str);
    Route::Known(votes.chain(READS).find(|route| *route == path).unwrap_or(OTHER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> &'static str {
        match of(path) {
            Route::Known(name) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn votes_and_reads_have_routes_of_their_own() {
        for path in ["/api/ihop", "/api/outback", "/api/getvotes", "/api/getstats", "/api/stream"] {
            assert_eq!(name(path), path);
        }
    }

    #[test]
    fn a_path_that_the_client_made_up_is_no_route_of_its_own() {
        for path in ["/api/", "/api/kfc", "/api/ihop/", "/api/%69hop", "/api/getvotes/1"] {
            assert_eq!(name(path), OTHER);
        }
    }
}
