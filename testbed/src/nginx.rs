//! A real nginx, in front of a server of the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use crate::program::{Program, Running};
use crate::{PATIENCE, happens, port, process};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// An nginx of the test's own.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    process: Running,
}

impl Nginx {
    /// The program, if it is installed. Debian keeps it where only root's path leads.
    pub fn find() -> Option<PathBuf> {
        let debian = PathBuf::from("/usr/sbin/nginx");
        process::look_for("nginx").or_else(|| debian.is_file().then_some(debian))
    }

    /// Starts one that passes everything on to the server on this port of 127.0.0.1, as the original's UI does.
    ///
    /// It keeps connections to the server, and passes bodies on as they come: the way that leaves most to the server.
    #[track_caller]
    pub fn before(server: u16) -> Self {
        Self::start(Program::new(installed()), server, "")
    }

    /// Starts one that speaks TLS with its clients, with a certificate of its own.
    #[track_caller]
    pub fn with_tls_before(server: u16) -> Self {
        let program = Program::new(installed());
        make_certificate(program.home());
        Self::start(program, server, "ssl")
    }

    #[track_caller]
    fn start(program: Program, server: u16, protocol: &str) -> Self {
        let port = port::reserve();
        let configuration = program.home().join("nginx.conf");
        fs::write(&configuration, configured(program.home(), port, server, protocol))
            .expect("a program's home can be written");
        let process = program.arg("-c").arg(&configuration).spawn();
        let accepts = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let started = happens(PATIENCE, || !process.is_running() || accepts());
        assert!(started && process.is_running(), "nginx does not start: {process:?}");
        Self { port, process }
    }

    /// The file of the certificate that clients have to trust, if it speaks TLS.
    pub fn certificate(&self) -> PathBuf {
        self.process.home().join(CERTIFICATE)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

#[track_caller]
fn installed() -> PathBuf {
    Nginx::find().unwrap_or_else(|| process::missing("nginx", "nginx"))
}

/// Makes a certificate for 127.0.0.1, signed by itself. It is not that of an authority, which no server may have.
#[track_caller]
fn make_certificate(home: &Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=yelb \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let output = Program::installed("openssl", "openssl")
        .args(arguments.split_whitespace())
        .arg("-keyout")
        .arg(home.join(KEY))
        .arg("-out")
        .arg(home.join(CERTIFICATE))
        .run_to_end(PATIENCE);
    assert!(output.status.success(), "{output:?}");
}

fn configured(home: &Path, port: u16, server: u16, protocol: &str) -> String {
    let home = home.display();
    let tls = if protocol.is_empty() {
        String::new()
    } else {
        format!("ssl_certificate {home}/{CERTIFICATE}; ssl_certificate_key {home}/{KEY};")
    };
    format!(
        "daemon off; master_process off; pid {home}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
            uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
            upstream server {{ server 127.0.0.1:{server}; keepalive 8; }}
            server {{
                listen 127.0.0.1:{port} {protocol}; {tls}
                client_header_timeout 2s; client_body_timeout 2s;
                location / {{
                    proxy_pass http://server;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_request_buffering off;
                }}
            }}
        }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn it_says_that_its_server_is_away() {
        let nginx = Nginx::before(port::reserve());
        let answer = http::get(nginx.address(), "/");
        assert_eq!(answer.status, 502);
        assert!(answer.header("server").is_some_and(|server| server.starts_with("nginx")));
    }
}
