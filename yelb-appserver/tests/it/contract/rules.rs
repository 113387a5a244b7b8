//! Where ours differs from the recording on purpose. What no rule names must be as recorded.

use super::recording::{AT_MOST_ONE, Answer, Case, Connection, Exchange};

/// A deliberate difference.
pub(super) struct Rule {
    /// What ours does.
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    /// If the difference concerns this exchange of the case, changes what is expected, and says so.
    apply: fn(&mut Case, usize) -> bool,
}

/// In this order: each sees what those before it have made of the recording.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "OPTIONS of what there is: 204, and what is allowed",
        why: "an undefined constant made it a 500, so that no cross-origin preflight ever worked",
        apply: options,
    },
    Rule {
        name: "OPTIONS of what there is not: 404",
        why: "the same constant; there is nothing to allow",
        apply: options_of_nothing,
    },
    Rule {
        name: "another method than those of the route: 405",
        why: "the path exists, and `Allow` names what can be done; any token is a method, `get` too",
        apply: other_methods,
    },
    Rule {
        name: "POST of a vote counts, and no field overrides a method",
        why: "a vote changes something, which POST says; a method in a form is out of every proxy's sight",
        apply: post,
    },
    Rule {
        name: "HEAD asks no store: it counts nothing, works in an outage, and tells no length",
        why: "HEAD is safe (RFC 9110 section 9.2.1), monitors send it, and section 9.3.2 leaves the length out",
        apply: head,
    },
    Rule {
        name: "a body is read to its end, and ignored",
        why: "no route takes one, so its content cannot be wrong; the original parses forms",
        apply: ignored_body,
    },
    Rule {
        name: "a query is ignored, a malformed one too",
        why: "no route reads one, so its content cannot be wrong",
        apply: ignored_query,
    },
    Rule {
        name: "a request with a body is the last on its connection",
        why: "where a body ends two parsers may see differently (RFC 9112 section 11.2)",
        apply: last_with_a_body,
    },
    Rule {
        name: "an empty line before a request is skipped",
        why: "RFC 9112 section 2.2; hyper does, Puma does not",
        apply: empty_line,
    },
    Rule {
        name: "a body that does not come: 408",
        why: "the original waits on",
        apply: missing_body,
    },
    Rule {
        name: "100 Continue is only said where a body is to come",
        why: "without one there is nothing to continue with (RFC 9110 section 10.1.1)",
        apply: no_body_to_continue,
    },
    Rule {
        name: "an HTTP version but 1.0 and 1.1: 400",
        why: "hyper; the original answers in HTTP/1.0 and counts",
        apply: other_versions,
    },
    Rule {
        name: "no Host, or two, in HTTP/1.1: 400, and the connection is closed",
        why: "RFC 9112 section 3.2: two servers on the way may take two of them for different sites",
        apply: one_host,
    },
    Rule {
        name: "HTTP/2: the connection is closed",
        why: "hyper, told to speak HTTP/1 alone; an answer in HTTP/1 would mean nothing to the client",
        apply: http2,
    },
    Rule {
        name: "a quotation mark may stand in a path: 404",
        why: "hyper's parser lets it through where Puma's does not; there is nothing there",
        apply: quotation_mark,
    },
    Rule {
        name: "a missing row is made, and its count was 0",
        why: "the restaurant is on the ballot, so a vote for it counts",
        apply: missing_row,
    },
    Rule {
        name: "a count that is NULL is 0",
        why: "NULL + 1 is NULL: votes were taken and never counted, and the list was no JSON",
        apply: null_count,
    },
    Rule {
        name: "a count goes on beyond 2^31",
        why: "the column is a bigint now",
        apply: large_count,
    },
    Rule {
        name: "a store's failure: 503 to be retried, a problem in JSON",
        why: "it is the store's outage and no defect of ours, and clients can tell the two apart",
        apply: unavailable,
    },
    Rule {
        name: "404: a problem in JSON",
        why: "clients of an API read JSON (RFC 9457); `X-Cascade` is Rack's own business",
        apply: not_found,
    },
    Rule {
        name: "nothing is to be cached",
        why: "a GET that counts must reach the server each time",
        apply: no_store,
    },
    Rule {
        name: "the host that answers is named",
        why: "the page shows it at every vote, and sends votes again only to an app server that says it",
        apply: host,
    },
    Rule {
        name: "a refusal says that it has no body",
        why: "hyper; otherwise a client waits for the end of the connection",
        apply: empty_body,
    },
    Rule {
        name: "a last answer says that it is the last",
        why: "RFC 9112 section 9.6",
        apply: last,
    },
    Rule { name: "the date is told", why: "RFC 9110 section 6.6.1", apply: date },
    HUNG_UP,
];

const HUNG_UP: Rule = Rule {
    name: "who hangs up may have voted",
    why: "the statement may be on its way; Puma drops the vote, WEBrick counts it",
    apply: hung_up,
};

/// What is to be done, and the rules that say so.
pub(super) type Expected = (Case, Vec<&'static Rule>);

/// What ours should do where the original did `recorded`.
pub(super) fn expected(recorded: &Case) -> Expected {
    apply(RULES, recorded)
}

/// What the original did, each time that it was asked.
pub(super) fn as_recorded(recorded: &Case) -> Expected {
    apply(&[HUNG_UP], recorded)
}

fn apply(all: &'static [Rule], recorded: &Case) -> Expected {
    let mut case = recorded.clone();
    let mut rules = Vec::new();
    for rule in all {
        let exchanges = 0..case.exchanges.len();
        if exchanges.filter(|&index| (rule.apply)(&mut case, index)).count() > 0 {
            rules.push(rule);
        }
    }
    (case, rules)
}

// ---- the rules

fn options(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    if asked.method != "OPTIONS" {
        return false;
    }
    let methods = asked.route().methods();
    let no_content = Answer::new("204 No Content");
    match (methods, &*asked.target) {
        ("", "*") => asked.answer_with(no_content.with("Allow", "GET,HEAD,POST,OPTIONS")),
        ("", _) => false,
        (methods, _) => asked.answer_with(preflight(no_content, methods)),
    }
}

fn preflight(answer: Answer, methods: &str) -> Answer {
    let fields = "Authorization,Accepts,Content-Type,X-CSRF-Token,X-Requested-With,\
                  Idempotency-Key,traceparent,tracestate,X-Amzn-Trace-Id";
    answer
        .with("Allow", methods)
        .with("Access-Control-Allow-Methods", methods)
        .with("Access-Control-Allow-Headers", fields)
        .with("Access-Control-Max-Age", "7200")
        .with_cors()
}

fn options_of_nothing(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    asked.method == "OPTIONS"
        && asked.is_answered("500 Internal Server Error")
        && asked.answer_with(Answer::problem("404 Not Found"))
}

fn other_methods(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    let methods = asked.route().methods();
    if methods.is_empty() || methods.split(',').any(|method| method == asked.method) {
        return false;
    }
    // The original's server does not know a `get` from garbage, and hangs up. It is a method, and not ours.
    case.connection = Connection::KeptOpen;
    asked.answer_with(Answer::problem("405 Method Not Allowed").with("Allow", methods))
}

fn post(case: &mut Case, index: usize) -> bool {
    let asked = &case.exchanges[index];
    asked.method == "POST" && asked.route() == Route::Vote && case.vote(index)
}

fn head(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    let content_type = match asked.route() {
        Route::Vote => "text/html;charset=utf-8",
        Route::Read if asked.path() != "/api/hostname" => "application/json",
        _ => return false,
    };
    if asked.method != "HEAD" {
        return false;
    }
    asked.answer_with(Answer::new("200 OK").with("Content-Type", content_type).with_cors());
    if let Some((counter, effect)) = case.effects.pop_first() {
        let moved: i64 = effect.parse().expect("a number");
        if moved > 1 {
            case.effects.insert(counter, format!("{:+}", moved - 1));
        }
        // Later requests on the connection saw a count that is one less here.
        for later in case.exchanges.iter_mut().skip(index + 1).filter_map(|it| it.answer.as_mut()) {
            later.body = later.body.replace("46", "45");
        }
    }
    true
}

fn ignored_body(case: &mut Case, index: usize) -> bool {
    let asked = &case.exchanges[index];
    let refused = asked.answer.as_ref().is_some_and(|it| it.body.starts_with("Invalid "));
    refused && !asked.target.contains('?') && case.vote(index)
}

fn ignored_query(case: &mut Case, index: usize) -> bool {
    let asked = &case.exchanges[index];
    if !asked.is_answered("400 Bad Request") || !asked.target.contains('?') {
        return false;
    }
    case.connection = Connection::KeptOpen;
    case.vote(index)
}

fn last_with_a_body(case: &mut Case, _: usize) -> bool {
    let last = case.connection == Connection::KeptOpen && case.sends_a_body();
    if last {
        case.connection = Connection::Closed;
    }
    last
}

fn empty_line(case: &mut Case, index: usize) -> bool {
    if case.name != "leading-crlf-ihop" {
        return false;
    }
    case.connection = Connection::KeptOpen;
    case.vote(index)
}

fn missing_body(case: &mut Case, index: usize) -> bool {
    if case.name != "body-expect100-POST-ihop" {
        return false;
    }
    case.effects.clear();
    case.connection = Connection::Closed;
    case.exchanges[index].answer_with(Answer::problem("408 Request Timeout"))
}

fn no_body_to_continue(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    asked.method == "GET" && std::mem::take(&mut asked.interim)
}

fn other_versions(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    if matches!(&*asked.version, "" | "1.0" | "1.1") || asked.method == "PRI" {
        return false;
    }
    case.effects.clear();
    asked.answer = Some(Answer::new("400 Bad Request"));
    true
}

fn has_not_one_host(case: &Case) -> bool {
    ["http11-nohost", "http11-twohosts"].iter().any(|name| case.name.starts_with(name))
}

fn one_host(case: &mut Case, index: usize) -> bool {
    if !has_not_one_host(case) {
        return false;
    }
    case.effects.clear();
    case.connection = Connection::Closed;
    case.exchanges[index].answer = Some(Answer::problem("400 Bad Request"));
    true
}

fn http2(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    asked.method == "PRI" && asked.answer.take().is_some()
}

fn quotation_mark(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    if !asked.target.contains('"') {
        return false;
    }
    case.connection = Connection::KeptOpen;
    asked.answer_with(Answer::problem("404 Not Found"))
}

fn missing_row(case: &mut Case, index: usize) -> bool {
    let all = case.name.starts_with("all-rows-missing");
    let asked = &mut case.exchanges[index];
    let missing = all || case.name.starts_with("row-missing");
    if !missing || !asked.is_answered("500 Internal Server Error") {
        return false;
    }
    match (&*asked.method, asked.route()) {
        ("GET", Route::Vote) => {
            case.effects.insert("ihop".into(), "None->1".into());
            asked.answer_with(Answer::count(1))
        }
        (_, Route::Vote) => asked.answer_with(Answer::count(0)),
        _ if all => asked.answer_with(Answer::tally([0; 4])),
        _ => asked.answer_with(Answer::tally([11, 22, 0, 33])),
    }
}

fn null_count(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    if !case.name.starts_with("count-null") {
        return false;
    }
    if asked.route() == Route::Vote {
        case.effects.insert("ihop".into(), "NULL->1".into());
        return asked.answer_with(Answer::count(1));
    }
    asked.answer_with(Answer::tally([11, 22, 0, 33]))
}

fn large_count(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    if !case.name.starts_with("count-maxint") || asked.route() != Route::Vote {
        return false;
    }
    case.effects.insert("ihop".into(), "+1".into());
    asked.answer_with(Answer::count(1 << 31))
}

fn unavailable(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    let problem = Answer::problem("503 Service Unavailable").with("Retry-After", "1");
    asked.is_answered("500 Internal Server Error") && asked.answer_with(problem.with_cors())
}

fn not_found(case: &mut Case, index: usize) -> bool {
    let asked = &mut case.exchanges[index];
    asked.is_answered("404 Not Found") && asked.answer_with(Answer::problem("404 Not Found"))
}

fn no_store(case: &mut Case, index: usize) -> bool {
    // All but what the HTTP parser refuses.
    case.add_header(index, "Cache-Control", "no-store", |_, answer| !answer.headers.is_empty())
}

fn host(case: &mut Case, index: usize) -> bool {
    if has_not_one_host(case) {
        // The app, which knows the name, is not asked.
        return false;
    }
    let name = gethostname::gethostname();
    let said = |_, answer: &Answer| !answer.headers.is_empty();
    case.add_header(index, "Yelb-Host", &name.to_string_lossy(), said)
}

fn empty_body(case: &mut Case, index: usize) -> bool {
    case.add_header(index, "Content-Length", "0", |_, answer| answer.headers.is_empty())
}

fn last(case: &mut Case, index: usize) -> bool {
    case.add_header(index, "Connection", "close", |connection, answer| {
        connection == Connection::Closed && answer.status.starts_with("HTTP/1.1")
    })
}

fn date(case: &mut Case, index: usize) -> bool {
    case.add_header(index, "Date", "now", |_, _| true)
}

fn hung_up(case: &mut Case, _: usize) -> bool {
    let left = case.connection == Connection::Left;
    if left {
        case.effects.insert("ihop".into(), AT_MOST_ONE.into());
    }
    left
}

// ---- what they are made of

/// What there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Vote,
    Read,
    Nothing,
}

impl Route {
    fn methods(self) -> &'static str {
        match self {
            Self::Vote => "GET,HEAD,POST,OPTIONS",
            Self::Read => "GET,HEAD,OPTIONS",
            Self::Nothing => "",
        }
    }
}

/// The restaurants, and their counts before each case.
const COUNTS: [(&str, u32); 4] =
    [("outback", 11), ("bucadibeppo", 22), ("ihop", 44), ("chipotle", 33)];

impl Case {
    /// A vote is counted and answered.
    fn vote(&mut self, index: usize) -> bool {
        let asked = &mut self.exchanges[index];
        let path = asked.path();
        let voted = COUNTS.iter().find(|(name, _)| path.strip_prefix("/api/") == Some(name));
        let (name, count) = voted.expect("a restaurant");
        self.effects = [((*name).to_owned(), "+1".to_owned())].into();
        asked.answer_with(Answer::count(count + 1))
    }

    /// Adds a header that is not there yet, `where_` it should be.
    fn add_header(
        &mut self,
        index: usize,
        name: &str,
        value: &str,
        where_: fn(Connection, &Answer) -> bool,
    ) -> bool {
        let Some(answer) = &mut self.exchanges[index].answer else { return false };
        let missing = where_(self.connection, answer) && !answer.headers.contains_key(name);
        if missing {
            answer.headers.insert(name.into(), value.into());
        }
        missing
    }
}

impl Exchange {
    fn route(&self) -> Route {
        match self.path().strip_prefix("/api/") {
            Some("getvotes" | "pageviews" | "getstats" | "hostname") => Route::Read,
            Some(name) if COUNTS.iter().any(|(restaurant, _)| *restaurant == name) => Route::Vote,
            _ => Route::Nothing,
        }
    }

    fn is_answered(&self, status: &str) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status.ends_with(status))
    }

    /// Expects this answer instead, in the recorded version of HTTP; without its body if none was asked for.
    fn answer_with(&mut self, mut answer: Answer) -> bool {
        if let Some(recorded) = &self.answer {
            answer.status.replace_range(..8, &recorded.status[..8]);
            if let Some(connection) = recorded.headers.get("Connection") {
                answer = answer.with("Connection", connection);
            }
        }
        if self.method == "HEAD" {
            answer.body.clear();
        }
        self.answer = Some(answer);
        true
    }
}

impl Answer {
    fn new(status: &str) -> Self {
        Self { status: format!("HTTP/1.1 {status}"), ..Self::default() }
    }

    fn problem(status: &str) -> Self {
        let answer = Self::new(status)
            .with("Content-Type", "application/problem+json")
            .with("Content-Length", "its own");
        Self { body: format!("(problem {status})"), ..answer }
    }

    fn count(count: u32) -> Self {
        Self::found("text/html;charset=utf-8", count.to_string())
    }

    fn tally([outback, bucadibeppo, ihop, chipotle]: [u32; 4]) -> Self {
        let tally = format!(
            r#"[{{"name": "outback", "value": {outback}}},{{"name": "bucadibeppo", "value": {bucadibeppo}}},{{"name": "ihop", "value": {ihop}}}, {{"name": "chipotle", "value": {chipotle}}}]"#
        );
        Self::found("application/json", tally)
    }

    fn found(content_type: &str, body: String) -> Self {
        let length = body.len().to_string();
        let answer = Self::new("200 OK")
            .with("Content-Type", content_type)
            .with("Content-Length", &length)
            .with_cors();
        Self { body, ..answer }
    }

    /// With a header, unless it is there already.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.entry(name.into()).or_insert_with(|| value.into());
        self
    }

    /// With what lets scripts of other origins read it.
    fn with_cors(self) -> Self {
        let headers = "Authorization,Accepts,Content-Type,X-CSRF-Token,X-Requested-With";
        self.with("Access-Control-Allow-Origin", "*")
            .with("Access-Control-Allow-Headers", headers)
            .with("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE,OPTIONS")
    }
}
