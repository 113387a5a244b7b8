//! What works while a part is down, and that all of it comes back by itself.

use testbed::eventually;

use crate::browser::Visitor;
use crate::docker::{docker, said};
use crate::load::Load;
use crate::stack::{NODES, Stack, TO_NOTICE};

/// What a path is answered while a part is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// As always.
    Works,
    /// 503 of the app server, with problem details: a store is down.
    StoreAway,
    /// 502 of a gateway, with problem details: an app is down.
    AppAway,
    /// The front door does not answer.
    Nothing,
}

/// What works while one of these is stopped: the page, a vote, the stats.
const TABLE: [(&[&str], [Answer; 3]); 5] = [
    (&["redis-server", "redis-server-envoy"], [Answer::Works, Answer::Works, Answer::StoreAway]),
    (&["yelb-db", "yelb-db-envoy"], [Answer::Works, Answer::StoreAway, Answer::Works]),
    (
        &["yelb-appserver", "yelb-appserver-envoy"],
        [Answer::Works, Answer::AppAway, Answer::AppAway],
    ),
    (&["yelb-ui"], [Answer::AppAway, Answer::AppAway, Answer::AppAway]),
    (&["yelb-ui-envoy"], [Answer::Nothing, Answer::Nothing, Answer::Nothing]),
];

impl Answer {
    fn of(stack: &Stack, path: &str) -> Option<Self> {
        let (status, body) = stack.get(path);
        let is_problem = body.contains(r#""type":"about:blank""#) && body.contains(r#""detail":"#);
        match status {
            200 => Some(Self::Works),
            503 if is_problem => Some(Self::StoreAway),
            502 if is_problem => Some(Self::AppAway),
            0 => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// Waits until the page, a read of the votes and the stats are answered in this way.
///
/// A read stands for the vote: both need the same store, and the load that runs meanwhile votes all the time.
#[track_caller]
fn wait_for(stack: &Stack, what: &str, expected: [Answer; 3]) {
    let seen = || ["/", "/api/getvotes", "/api/getstats"].map(|path| Answer::of(stack, path));
    eventually(TO_NOTICE, &format!("{what}: {expected:?}"), || seen() == expected.map(Some));
}

#[test]
fn each_container_may_stop_and_start_under_load() {
    let stack = Stack::up();
    let load = Load::begin(&stack);
    for (containers, expected) in TABLE {
        for container in containers {
            said(stack.command().args(["stop", container]));
            wait_for(&stack, &format!("{container} is stopped"), expected);
            said(stack.command().args(["start", container]));
            wait_for(&stack, &format!("{container} is back"), [Answer::Works; 3]);
            load.wait_for_votes(&stack, stack.total().unwrap());
        }
    }
    load.every_vote_was_counted_once();
}

#[test]
fn each_container_comes_back_by_itself_when_it_is_killed_under_load() {
    let stack = Stack::up();
    let load = Load::begin(&stack);
    for node in NODES {
        for container in [node.to_owned(), format!("{node}-envoy")] {
            let pid = stack.pid(&container).to_string();
            // Not by Docker, which would take it for what its user wants.
            said(std::process::Command::new("kill").args(["-KILL", &pid]));
            eventually(TO_NOTICE, &format!("{container} runs again"), || {
                let again = stack.inspect(&container, "{{.State.Running}} {{.State.Pid}}");
                again.starts_with("true") && again != format!("true {pid}")
            });
            wait_for(&stack, &format!("{container} was killed and is back"), [Answer::Works; 3]);
            load.wait_for_votes(&stack, stack.total().unwrap());
        }
    }
    load.every_vote_was_counted_once();
}

/// The way between the accounts: a network that the app server's task is in.
struct Crossing {
    network: String,
    task: String,
}

impl Crossing {
    #[track_caller]
    fn of(stack: &Stack) -> Self {
        Self {
            network: stack.named("account-backend"),
            task: stack.container("yelb-appserver-task"),
        }
    }

    #[track_caller]
    fn cut(&self, stack: &Stack) {
        said(&mut docker(&["network", "disconnect", &self.network, &self.task]));
        wait_for(stack, "cut apart", [Answer::Works, Answer::StoreAway, Answer::StoreAway]);
    }

    #[track_caller]
    fn join(&self, stack: &Stack) {
        said(&mut docker(&["network", "connect", &self.network, &self.task]));
        wait_for(stack, "joined again", [Answer::Works; 3]);
    }
}

#[test]
fn a_visitor_is_told_that_the_accounts_are_cut_apart_and_votes_when_they_are_joined() {
    let stack = Stack::up();
    let crossing = Crossing::of(&stack);
    let visitor = Visitor::votes(&stack);

    crossing.cut(&stack);
    let told = visitor.is_told();
    assert!(told.contains("Database down for "), "{told}");

    crossing.join(&stack);
    visitor.votes_again();
}

#[test]
fn no_vote_is_lost_between_accounts_that_are_cut_apart_under_load() {
    let stack = Stack::up();
    let crossing = Crossing::of(&stack);
    let load = Load::begin(&stack);
    crossing.cut(&stack);
    crossing.join(&stack);
    load.wait_for_votes(&stack, stack.total().unwrap());
    load.every_vote_was_counted_once();
}
