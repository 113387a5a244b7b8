//! A real nginx, in front of a server of the test or by itself.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::directory::Directory;
use crate::path;
use crate::program::Program;
use crate::server::{Kind, Server};
use crate::wait::PATIENCE;

const TEMPLATE: &str = include_str!("nginx.conf");
const TLS: &str = "ssl; ssl_certificate certificate.pem; ssl_certificate_key key.pem;";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// An nginx of the test's own.
pub type Nginx = Server<Configuration>;

/// How an nginx is started.
#[derive(Debug)]
pub struct Configuration {
    /// What `http` has besides the server.
    upstream: String,
    /// What it does with requests.
    locations: &'static str,
    /// What follows `listen` and its address.
    tls: &'static str,
    workers: &'static str,
    home: Arc<Directory>,
}

impl Server<Configuration> {
    /// The program, if it is installed. Debian keeps it where only root's path leads.
    pub fn find() -> Option<PathBuf> {
        let debian = PathBuf::from("/usr/sbin/nginx");
        path::look_for("nginx").or_else(|| debian.is_file().then_some(debian))
    }

    /// Starts one that passes everything on to the server on this port of 127.0.0.1, as the original's UI does.
    ///
    /// It keeps connections to the server, and passes bodies on as they come: the way that leaves most to the server.
    #[track_caller]
    pub fn before(server: u16) -> Self {
        Self::launch(Configuration::before(server))
    }

    /// Starts one that speaks TLS with its clients, with a certificate of its own.
    #[track_caller]
    pub fn with_tls_before(server: u16) -> Self {
        let configuration = Configuration { tls: TLS, ..Configuration::before(server) };
        make_certificate(&configuration.home);
        Self::launch(configuration)
    }

    /// Starts one that answers `/` with a short text and passes `/api` on to the server on this port, as the original's UI does,
    /// with a worker for each processor and connections that are never closed.
    #[track_caller]
    pub fn in_place_of_ui(server: u16) -> Self {
        Self::launch(Configuration {
            upstream: format!(
                "keepalive_requests 100000000;
                 upstream api {{ server 127.0.0.1:{server}; keepalive 512; keepalive_requests 100000000; }}"
            ),
            locations: "location / { default_type text/plain; return 200 vm; }
                 location /api/ { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection \"\"; }",
            workers: "worker_processes auto;",
            ..Configuration::new()
        })
    }

    /// The file of the certificate that clients have to trust, if it speaks TLS.
    pub fn certificate(&self) -> PathBuf {
        self.kind().home.path().join(CERTIFICATE)
    }
}

/// Makes a certificate for 127.0.0.1, signed by itself. It is not that of an authority, which no server may have.
#[track_caller]
fn make_certificate(home: &Arc<Directory>) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=yelb \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let output = Program::at_home(path::find("openssl", "openssl"), home)
        .args(arguments.split_whitespace())
        .args(["-keyout", KEY, "-out", CERTIFICATE])
        .run_to_end(PATIENCE);
    assert!(output.status.success(), "{output:?}");
}

impl Configuration {
    fn new() -> Self {
        let home = Arc::new(Directory::make());
        let workers = "master_process off;";
        Self { upstream: String::new(), locations: "", tls: ";", workers, home }
    }

    fn before(server: u16) -> Self {
        Self {
            upstream: format!("upstream server {{ server 127.0.0.1:{server}; keepalive 8; }}"),
            locations: "location / { proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                       proxy_request_buffering off; }",
            ..Self::new()
        }
    }

    fn text(&self, port: u16) -> String {
        let text = TEMPLATE.replace("PORT", &port.to_string()).replace("WORKERS", self.workers);
        let text = text.replace("TLS", self.tls).replace("UPSTREAM", &self.upstream);
        text.replace("LOCATIONS", self.locations)
    }
}

impl Kind for Configuration {
    const NAME: &'static str = "nginx";

    fn program(&self, port: u16) -> Program {
        let nginx = Nginx::find().unwrap_or_else(|| path::missing("nginx", "nginx"));
        let file = self.home.path().join("nginx.conf");
        fs::write(&file, self.text(port)).expect("a program's home can be written");
        Program::at_home(nginx, &self.home).arg("-p").arg(self.home.path()).arg("-c").arg(&file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http, port};

    #[test]
    fn it_says_that_its_server_is_down() {
        let nginx = Nginx::before(port::reserve());
        let answer = http::get(nginx.address(), "/");
        assert_eq!(answer.status, 502);
        assert!(answer.header("server").is_some_and(|server| server.starts_with("nginx")));
    }
}
