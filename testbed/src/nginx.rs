//! A real nginx, in front of a server of the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use crate::program::{Program, Running};
use crate::{PATIENCE, happens, port, process};

/// An nginx of the test's own.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    _process: Running,
}

impl Nginx {
    /// Starts one that passes everything on to the server on this port of 127.0.0.1, as the original's UI does.
    ///
    /// It keeps connections to the server, and passes bodies on as they come: the way that leaves most to the server.
    #[track_caller]
    pub fn before(server: u16) -> Self {
        let program = Program::new(installed());
        let port = port::reserve();
        let configuration = program.home().join("nginx.conf");
        fs::write(&configuration, configured(program.home(), port, server))
            .expect("a program's home can be written");
        let process = program.arg("-c").arg(&configuration).spawn();
        let accepts = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let started = happens(PATIENCE, || !process.is_running() || accepts());
        assert!(started && process.is_running(), "nginx does not start: {process:?}");
        Self { port, _process: process }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// Debian keeps it where only root's path leads.
#[track_caller]
fn installed() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/nginx");
    let found = process::look_for("nginx").or_else(|| debian.is_file().then_some(debian));
    found.unwrap_or_else(|| process::missing("nginx", "nginx"))
}

fn configured(home: &Path, port: u16, server: u16) -> String {
    let home = home.display();
    format!(
        "daemon off; master_process off; pid {home}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
            uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
            upstream server {{ server 127.0.0.1:{server}; keepalive 8; }}
            server {{
                listen 127.0.0.1:{port};
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
