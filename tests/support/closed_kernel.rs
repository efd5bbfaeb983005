//! Executes a command with what a payload in the closed world may ask of the kernel, and with
//! nothing else of that world: `closed_kernel [--nested] command…`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use sys::seccomp::Openat2;
use sys::signal;

fn main() {
    let mut words = std::env::args_os().skip(1).peekable();
    let nested = words.next_if(|word| word == "--nested").is_some();
    sys::prctl::set_no_new_privs().unwrap();
    signal::reset_all().unwrap();
    world::filter::restrict(nested, Openat2::Unavailable).unwrap();
    let mut command = Command::new(words.next().unwrap());
    panic!("{}", command.args(words).exec());
}
