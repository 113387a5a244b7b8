//! The stand-in for the original's app server, on a PostgreSQL and a Redis of its own, until its standard input ends.
//!
//! `cargo run --package testbed --example stand_in` prints its URL. Then it takes commands, a word on a line: `kill` ends it
//! without warning, `start` starts it again. Each is answered by a line once it is done.

#![expect(clippy::print_stdout, reason = "it answers at the terminal")]

use std::io::stdin;

use testbed::{Postgres, Redis, StandIn};

fn main() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    let stand_in = StandIn::start(&postgres, &redis);
    println!("http://{}", stand_in.address());
    for command in stdin().lines().map_while(Result::ok) {
        match &*command {
            "kill" => stand_in.kill(),
            "start" => stand_in.start_again(),
            _ => {
                println!("unknown: {command}");
                continue;
            }
        }
        println!("done: {command}");
    }
}
