//! The bench of switching: /bin/true as another user, through each switcher.
//!
//! `scripts/bench switching` prepares the machine and runs it; help.txt says what is measured. Like
//! a test, it panics when a check fails, and also then leaves no process running.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use common::options::{Options, number};
use common::times::{self, timed};
use common::{program, rounds};
use serde_json::{Value, json};
use sides::{Credentials, SIDES};

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), &["--calls"], measure)
}

fn measure(options: &Options) -> Result<Vec<Value>, String> {
    let calls = match options.list("--calls") {
        Some(list) => number("--calls", &list.join(","))?,
        None if options.small => 2,
        None => 50,
    };
    let credentials = Credentials::new();
    eprintln!("bench: switching");
    // Each sample is the time of one call.
    let times = rounds::run(options.rounds, SIDES, |(name, side)| {
        let mut call = side(&credentials);
        let all = timed(|| (0..calls).for_each(|_| call.run()));
        [(name, all / u32::try_from(calls).unwrap())]
    });
    println!("{}", report::table(&times));
    Ok(vec![json!({ "ms": times::samples(&times) })])
}
