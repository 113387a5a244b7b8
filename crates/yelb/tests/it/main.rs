//! Yelb in one process, as a user who types `cargo run` sees it.

mod kubernetes;
mod lifecycle;
mod settings;
mod version;

use std::net::SocketAddr;

use testbed::{PATIENCE, Program, Running};

/// All of Yelb, told nothing but to listen on free ports. The votes are in a file in its home.
fn yelb() -> Program {
    Program::new(env!("CARGO_BIN_EXE_yelb"))
        .env("PORT", "0")
        .env("YELB_API_PORT", "0")
        .env("YELB_ADMIN_PORT", "off")
}

/// Where its page and its API are, as it tells the person who has started it.
#[track_caller]
fn addresses(yelb: &Running) -> (SocketAddr, SocketAddr) {
    let after = |words: &str| {
        let line = yelb.wait_for_line(|line| line.starts_with(words), PATIENCE);
        let url = line.rsplit_once("http://").map(|(_, url)| url).unwrap_or_default();
        let address = url.split('/').next().unwrap_or_default();
        address.parse().unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    (after("Yelb is at"), after("its API at"))
}
