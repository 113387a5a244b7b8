//! The mesh on a laptop: docker-compose.yml, with real containers, real Envoys and a real browser.
//!
//! `cargo xtask e2e` provides what this needs (Docker's engine, both generations of Compose, the images) and runs it, one test
//! after the other. Each test has a stack of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures, and logs of what failed, are for the reader of the run"
)]

mod browser;
mod docker;
mod images;
mod life;
mod load;
mod outages;
mod retries;
mod stack;
mod traces;
mod walls;
