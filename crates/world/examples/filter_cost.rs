//! What the filter costs: nanoseconds for a call, without a filter, with the filter of every
//! payload, and with that of the closed world. `cargo run --release -p world --example filter_cost`
//!
//! A filter applies to the thread that asks for it, so each is measured in a thread of its own. The
//! number is the lowest of many short rounds: other processes only add to it.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::time::Instant;

use sys::prctl::set_no_new_privs;
use sys::seccomp::{Openat2, forbid_set_id_files};

const ROUNDS: usize = 300;

/// What a thread does before it measures.
type Filter = (&'static str, fn());

const FILTERS: [Filter; 3] = [
    ("no filter", || ()),
    ("every payload", || forbid_set_id_files(Openat2::Unavailable).unwrap()),
    ("closed world", || world::filter::restrict(false, Openat2::Unavailable).unwrap()),
];

/// A call, and how often it is made in a round.
type Call = (&'static str, u32, fn());

const CALLS: [Call; 3] = [
    // Allowed by its number alone.
    ("getppid", 10_000, || assert_ne!(std::os::unix::process::parent_id(), 0)),
    // The filter looks at an argument.
    ("open and close", 1_000, || assert!(File::open("/dev/null").is_ok())),
    ("stat", 1_000, || assert!(std::fs::metadata("/dev/null").is_ok())),
];

fn nanoseconds((_, count, call): Call) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

fn main() {
    let mut lowest = [[f64::MAX; CALLS.len()]; FILTERS.len()];
    for _ in 0..ROUNDS {
        for ((_, filter), lowest) in FILTERS.into_iter().zip(&mut lowest) {
            let measured = std::thread::spawn(move || {
                set_no_new_privs().unwrap();
                filter();
                CALLS.map(nanoseconds)
            });
            for (lowest, found) in lowest.iter_mut().zip(measured.join().unwrap()) {
                *lowest = lowest.min(found);
            }
        }
    }
    println!("{:<16}{}", "", CALLS.map(|(name, ..)| format!("{name:>16}")).concat());
    for ((name, _), lowest) in FILTERS.iter().zip(lowest) {
        println!("{name:<16}{}", lowest.map(|found| format!("{found:>16.1}")).concat());
    }
}
