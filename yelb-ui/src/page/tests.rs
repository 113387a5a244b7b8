use super::{CONTENT_SECURITY_POLICY, router};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// All that a first visit loads, compressed: the design's budget for the page.
const FIRST_VISIT_BYTES: usize = 30_000;

#[tokio::test]
async fn the_page_and_its_files_have_the_right_types() {
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/static/yelb.css", "text/css; charset=utf-8"),
        ("/static/yelb.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(field(&response, header::CONTENT_TYPE), content_type, "{path}");
        assert_eq!(field(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(field(&response, header::REFERRER_POLICY), "no-referrer", "{path}");
        assert_eq!(field(&response, header::CACHE_CONTROL), "no-cache", "{path}");
        assert_eq!(
            field(&response, header::CONTENT_SECURITY_POLICY),
            CONTENT_SECURITY_POLICY,
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_on_the_page_needs_more_than_its_policy_allows() {
    let page = text(get("/", &[]).await);
    assert!(!page.contains("style="), "a style attribute would be blocked");
    assert!(!page.contains("<style"), "an inline style sheet would be blocked");
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count()
    );
    let handler = page.split_whitespace().find(|word| word.starts_with("on") && word.contains('='));
    assert_eq!(handler, None, "an event handler attribute would be blocked");
}

#[tokio::test]
async fn every_address_on_the_page_is_relative_and_answers() {
    for path in files_of_the_page().await {
        assert!(!path.starts_with('/'), "{path} would not work below a path of another site");
        assert_eq!(get(&format!("/{path}"), &[]).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_browser_s_copy_is_confirmed_without_a_body() {
    for coding in ["", "gzip", "br"] {
        for path in ["/", "/static/yelb.js"] {
            let accept = (header::ACCEPT_ENCODING, coding);
            let etag = field(&get(path, std::slice::from_ref(&accept)).await, header::ETAG);

            let again =
                get(path, &[accept, (header::IF_NONE_MATCH, &format!("\"other\", {etag}"))]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} {coding}");
            assert_eq!(field(&again, header::ETAG), etag, "{path} {coding}");
            assert_eq!(field(&again, header::VARY), "accept-encoding", "{path} {coding}");
            assert_eq!(again.into_body(), "", "{path} {coding}");
        }
    }
}

#[tokio::test]
async fn another_file_s_copy_is_not_confirmed() {
    let other = field(&get("/static/yelb.css", &[]).await, header::ETAG);
    for etag in [other.as_str(), "\"\"", "nonsense"] {
        let response = get("/static/yelb.js", &[(header::IF_NONE_MATCH, etag)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{etag}");
    }
    assert_eq!(get("/", &[(header::IF_NONE_MATCH, "*")]).await.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn every_coding_of_a_file_has_the_one_weak_tag() {
    let mut etags = Vec::new();
    for coding in ["", "gzip", "br"] {
        let response = get("/static/yelb.js", &[(header::ACCEPT_ENCODING, coding)]).await;
        let got = response.headers().get(header::CONTENT_ENCODING);
        assert_eq!(got.map_or("", |got| got.to_str().unwrap()), coding);
        etags.push(field(&response, header::ETAG));
    }
    assert!(etags[0].starts_with("W/\""), "{etags:?}");
    etags.dedup();
    assert_eq!(etags.len(), 1, "{etags:?}");
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let whole = text(get("/", &[]).await);
    let response = send(Method::HEAD, "/", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(&response, header::CONTENT_LENGTH), whole.len().to_string());
    assert_eq!(response.into_body(), "");
}

#[tokio::test]
async fn other_paths_are_the_caller_s() {
    let app = router().fallback(async || (StatusCode::IM_A_TEAPOT, "the caller's"));
    for path in ["/nothing", "/static/", "/static/nothing.js", "/static/../Cargo.toml", "/api/ihop"]
    {
        let response =
            app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT, "{path}");
        assert!(!response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
    }
}

#[tokio::test]
async fn a_first_visit_is_small() {
    for coding in ["gzip", "br"] {
        let mut loaded = get("/", &[(header::ACCEPT_ENCODING, coding)]).await.into_body().len();
        for path in files_of_the_page().await {
            loaded += get(&format!("/{path}"), &[(header::ACCEPT_ENCODING, coding)])
                .await
                .into_body()
                .len();
        }
        assert!(loaded <= FIRST_VISIT_BYTES, "{loaded} bytes by {coding}");
    }
}

#[tokio::test]
async fn every_script_that_a_script_imports_is_fetched_with_the_page() {
    let preloaded = files_of_the_page().await;
    for path in super::assets::modules() {
        let script = text(get(&format!("/{path}"), &[]).await);
        for import in script.lines().filter(|line| line.starts_with("import ")) {
            let name = between(import, "\"./", "\"").next().expect("a relative import");
            assert!(preloaded.contains(&format!("static/{name}")), "{path} imports {name}");
        }
    }
}

/// What the page's own tags name, each once.
async fn files_of_the_page() -> Vec<String> {
    let page = text(get("/", &[]).await);
    let mut files: Vec<_> = between(&page, "href=\"", "\"")
        .chain(between(&page, "src=\"", "\""))
        .filter(|url| !url.contains(':'))
        .collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(str::to_owned).collect()
}

fn between<'text>(
    text: &'text str,
    start: &'static str,
    end: &'static str,
) -> impl Iterator<Item = &'text str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

async fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response<Bytes> {
    send(Method::GET, path, headers).await
}

async fn send(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(name, *value);
    }
    let (parts, body) =
        router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn field(response: &Response<Bytes>, name: HeaderName) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

fn text(response: Response<Bytes>) -> String {
    String::from_utf8(response.into_body().to_vec()).unwrap()
}
