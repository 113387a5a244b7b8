use super::CONTENT_SECURITY_POLICY;
use crate::config::PageConfig;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

const DOCUMENTS: [&str; 2] = ["/", "/screen"];

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// All that a first visit loads, compressed: the design's budget for the page.
const FIRST_VISIT_BYTES: usize = 30_000;

#[tokio::test]
async fn the_page_and_its_files_have_the_right_types() {
    for (path, content_type) in [
        ("/".to_owned(), "text/html; charset=utf-8"),
        ("/screen".to_owned(), "text/html; charset=utf-8"),
        ("/screen/code.svg".to_owned(), "image/svg+xml"),
        (file("yelb.css").await, "text/css; charset=utf-8"),
        (file("yelb.js").await, "text/javascript; charset=utf-8"),
        (file("icon.svg").await, "image/svg+xml"),
        (file("touch-icon.png").await, "image/png"),
        (file("manifest.webmanifest").await, "application/manifest+json"),
        ("/favicon.ico".to_owned(), "image/svg+xml"),
    ] {
        let response = get(&path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(field(&response, header::CONTENT_TYPE), content_type, "{path}");
        assert_eq!(field(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(field(&response, header::REFERRER_POLICY), "no-referrer", "{path}");
        assert_eq!(
            field(&response, header::CONTENT_SECURITY_POLICY),
            format!("{CONTENT_SECURITY_POLICY}'none'"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_file_is_kept_for_good_and_the_page_is_asked_for_each_time() {
    let caching = async |path: &str| field(&get(path, &[]).await, header::CACHE_CONTROL);
    assert_eq!(caching("/").await, "no-cache");
    assert_eq!(caching("/favicon.ico").await, "no-cache");
    assert_eq!(caching("/screen").await, "no-cache");
    assert_eq!(caching("/screen/code.svg").await, "no-cache");
    for name in ["yelb.css", "yelb.js", "icon.svg"] {
        assert!(caching(&file(name).await).await.contains("immutable"), "{name}");
    }
}

/// While a deployment is under way, one replica may serve the page and another one its files.
#[tokio::test]
async fn a_page_of_another_build_gets_this_build_s_files_for_this_time() {
    let response = get("/static/0123456789abcdef/yelb.js", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(&response, header::CACHE_CONTROL), "no-cache");
    assert_eq!(response.into_body(), get(&file("yelb.js").await, &[]).await.into_body());
}

#[tokio::test]
async fn another_site_that_shows_a_card_of_the_page_finds_its_picture() {
    let page = text(get("/", &[(header::HOST, "yelb.example.com")]).await);
    let card = between(&page, "property=\"og:image\" content=\"", "\"").next().unwrap();
    let path = card.strip_prefix("http://yelb.example.com").expect("an address with a host");
    assert_eq!(field(&get(path, &[]).await, header::CONTENT_TYPE), "image/png");
}

#[tokio::test]
async fn the_manifest_s_addresses_answer() {
    let manifest = text(get(&file("manifest.webmanifest").await, &[]).await);
    for name in between(&manifest, "\"src\": \"", "\"") {
        assert_eq!(get(&file(name).await, &[]).await.status(), StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn the_screen_s_address_is_that_of_the_page_and_its_code_another_for_each() {
    let mut codes = Vec::new();
    for (host, scheme, address) in [
        ("192.168.1.20:8080", "", ">192.168.1.20:8080</p>"),
        ("192.168.1.20:8080", "https", ">https://192.168.1.20:8080</p>"),
        ("[::1]:8080", "", ">[::1]:8080</p>"),
        ("yelb.example.com", "https", ">https://yelb.example.com</p>"),
    ] {
        let headers = [(header::HOST, host), (FORWARDED_PROTO, scheme)];
        let screen = text(get("/screen", &headers).await);
        assert_eq!(screen.matches(address).count(), 2, "{address}");
        codes.push(text(get("/screen/code.svg", &headers).await));
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 4);
}

#[tokio::test]
async fn without_a_host_that_is_one_there_is_no_screen_and_no_code() {
    for host in ["a\"><script>", "a/b", "a b", &"a".repeat(300)] {
        for path in ["/screen", "/screen/code.svg"] {
            let response = get(path, &[(header::HOST, host)]).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path} {host}");
            assert!(!text(response).contains(host), "{path} {host}");
        }
    }
}

#[tokio::test]
async fn nothing_on_a_document_needs_more_than_its_policy_allows() {
    for document in DOCUMENTS {
        let page = text(get(document, &[]).await);
        assert!(!page.contains("style="), "a style attribute would be blocked");
        assert!(!page.contains("<style"), "an inline style sheet would be blocked");
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=").count()
        );
        let handler =
            page.split_whitespace().find(|word| word.starts_with("on") && word.contains('='));
        assert_eq!(handler, None, "an event handler attribute would be blocked");
    }
}

#[tokio::test]
async fn every_address_on_a_document_is_relative_and_answers() {
    for path in [links_of("/").await, links_of("/screen").await].concat() {
        assert!(!path.starts_with('/'), "{path} would not work below a path of another site");
        assert_eq!(get(&format!("/{path}"), &[]).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_browser_s_copy_is_confirmed_without_a_body() {
    for coding in ["", "gzip", "br"] {
        for path in ["/", &file("yelb.js").await] {
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
    let other = field(&get(&file("yelb.css").await, &[]).await, header::ETAG);
    for etag in [other.as_str(), "\"\"", "nonsense"] {
        let response = get(&file("yelb.js").await, &[(header::IF_NONE_MATCH, etag)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{etag}");
    }
    assert_eq!(get("/", &[(header::IF_NONE_MATCH, "*")]).await.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn every_coding_of_a_file_has_the_one_weak_tag() {
    let mut etags = Vec::new();
    for coding in ["", "gzip", "br"] {
        let response = get(&file("yelb.js").await, &[(header::ACCEPT_ENCODING, coding)]).await;
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
    let app = super::router(&PageConfig::default())
        .fallback(async || (StatusCode::IM_A_TEAPOT, "the caller's"));
    for path in ["/nothing", "/static/", "/static/yelb.js", "/api/ihop"] {
        let response =
            app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT, "{path}");
        assert!(!response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_there_is_not_is_not_found() {
    for path in ["/static/0/nothing.js", "/static/0/..", "/static/../Cargo.toml"] {
        assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_first_visit_is_small() {
    for coding in ["gzip", "br"] {
        let mut loaded = get("/", &[(header::ACCEPT_ENCODING, coding)]).await.into_body().len();
        // All but what a phone's home screen asks for, and what a visitor clicks on.
        let on_demand = |path: &str| path.ends_with("touch-icon.png") || path == "screen";
        for path in links_of("/").await.iter().filter(|path| !on_demand(path)) {
            loaded += get(&format!("/{path}"), &[(header::ACCEPT_ENCODING, coding)])
                .await
                .into_body()
                .len();
        }
        assert!(loaded <= FIRST_VISIT_BYTES, "{loaded} bytes by {coding}");
    }
}

/// And no other one, which would be fetched in vain.
#[tokio::test]
async fn a_document_names_every_script_that_its_scripts_import() {
    for document in DOCUMENTS {
        let links = links_of(document).await;
        let mut preloaded: Vec<_> =
            links.iter().filter_map(|link| link.rsplit_once('/')?.1.strip_suffix(".js")).collect();
        preloaded.sort_unstable();
        let mut imported = vec![if document == "/" { "yelb" } else { "screen" }];
        let mut at = 0;
        while let Some(name) = imported.get(at) {
            let script = text(get(&file(&format!("{name}.js")).await, &[]).await);
            for import in script.lines().filter(|line| line.starts_with("import ")) {
                let name = between(import, "\"./", ".js\"").next().expect("a relative import");
                let name = super::assets::Files::new()
                    .scripts(&[])
                    .find_map(|known| known.strip_suffix(".js").filter(|known| *known == name));
                let name = name.expect("it is a file of the page's");
                if !imported.contains(&name) {
                    imported.push(name);
                }
            }
            at += 1;
        }
        imported.sort_unstable();
        assert_eq!(preloaded, imported, "{document}");
    }
}

/// The address of a file.
async fn file(name: &str) -> String {
    let page = text(get("/", &[]).await);
    let folder = between(&page, "rel=\"stylesheet\" href=\"", "/yelb.css\"").next().unwrap();
    format!("/{folder}/{name}")
}

/// What the document's own tags name, each once.
async fn links_of(document: &str) -> Vec<String> {
    let page = text(get(document, &[]).await);
    let mut files: Vec<_> = between(&page, "href=\"", "\"")
        .chain(between(&page, "src=\"", "\""))
        .filter(|url| !url.contains(':') && !url.starts_with('#'))
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
    if headers.iter().all(|(name, _)| *name != header::HOST) {
        request = request.header(header::HOST, "yelb.example.com");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(name, *value);
    }
    let (parts, body) = super::router(&PageConfig::default())
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
        .into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn field(response: &Response<Bytes>, name: HeaderName) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

fn text(response: Response<Bytes>) -> String {
    String::from_utf8(response.into_body().to_vec()).unwrap()
}
