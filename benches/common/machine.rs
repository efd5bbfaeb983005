//! Facts about this machine.

use std::fs;
use std::thread::available_parallelism;

/// The kernel's release.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().to_owned()
}

pub fn processors() -> usize {
    available_parallelism().unwrap().get()
}

/// A figure of /proc/meminfo, in bytes.
pub fn memory(name: &str) -> u64 {
    let all = fs::read_to_string("/proc/meminfo").unwrap();
    let mut words = all
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("a name of a line in /proc/meminfo")
        .split_whitespace();
    words.next().unwrap().parse::<u64>().unwrap() << 10
}
