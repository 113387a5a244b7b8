//! The UI's server as browsers, app servers and orchestrators see it: the program itself, over real sockets.

mod answers;
mod backends;
mod hostile;
mod lifecycle;
mod proxy;
mod settings;
mod smuggling;
mod stand_in;
mod stream;
mod upstream;

use std::net::SocketAddr;

use testbed::{Program, Running};

/// The UI's server, told nothing but to listen on a free port.
fn ui() -> Program {
    Program::new(env!("CARGO_BIN_EXE_yelb-ui")).env("PORT", "0").env("YELB_ADMIN_PORT", "off")
}

/// The UI's server in front of this app server.
fn ui_of(appserver: SocketAddr) -> Program {
    ui().env("YELB_APPSERVER_ENDPOINT", format!("http://{appserver}"))
}

/// A running UI in front of this app server, and where its page is.
#[track_caller]
fn start_ui_of(appserver: SocketAddr) -> (Running, SocketAddr) {
    let running = ui_of(appserver).spawn();
    let address = running.address("page");
    (running, address)
}

/// An address without a listener.
fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}
