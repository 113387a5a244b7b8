//! What the tests of the whole mesh have in common, whatever the mesh is made of.
//!
//! The tests themselves are in `tests/`. They need more of the machine than other tests do: `interception` is for root on
//! Linux, with `iptables` and `iproute2`.

use serde_json::Value;

/// The names in an X-Ray trace from the first hop to the last, in the order in which they called one another.
///
/// # Panics
///
/// When the documents are not one line of calls: when none or more than one began it, when a hop called two, or when one was
/// called by a program that sent nothing.
#[track_caller]
pub fn line_of_calls(trace: &[Value]) -> Vec<&str> {
    let called_by = |caller: Option<&str>| -> Vec<&Value> {
        trace.iter().filter(|hop| hop["parent_id"].as_str() == caller).collect()
    };
    let mut line = Vec::new();
    let mut next = called_by(None);
    while let [hop] = next[..] {
        line.push(hop["name"].as_str().expect("a document has a name"));
        next = called_by(Some(hop["id"].as_str().expect("a document has an id")));
    }
    assert!(next.is_empty() && line.len() == trace.len(), "not one line of calls: {trace:#?}");
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hops_are_put_in_their_order() {
        let trace = [
            json!({ "id": "3", "parent_id": "2", "name": "yelb-db" }),
            json!({ "id": "1", "name": "yelb-ui" }),
            json!({ "id": "2", "parent_id": "1", "name": "yelb-appserver" }),
        ];
        assert_eq!(line_of_calls(&trace), ["yelb-ui", "yelb-appserver", "yelb-db"]);
    }

    #[test]
    #[should_panic(expected = "not one line of calls")]
    fn a_hop_whose_caller_is_unknown_is_not_of_the_line() {
        line_of_calls(&[
            json!({ "id": "1", "name": "yelb-ui" }),
            json!({ "id": "3", "parent_id": "2", "name": "yelb-db" }),
        ]);
    }

    #[test]
    #[should_panic(expected = "not one line of calls")]
    fn a_fork_is_no_line() {
        line_of_calls(&[
            json!({ "id": "1", "name": "yelb-ui" }),
            json!({ "id": "2", "parent_id": "1", "name": "yelb-appserver" }),
            json!({ "id": "3", "parent_id": "1", "name": "yelb-appserver" }),
        ]);
    }
}
