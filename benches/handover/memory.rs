//! What there is of memory.

use std::fs;

/// Touches so many bytes once, at most half of what is available, and frees them. A virtual machine may have given its
/// pages back to the host: whoever touches them first waits for them, and that shall be none of the sides.
pub fn touch_and_free(bytes: u64) {
    let bytes = bytes.min(meminfo("MemAvailable:") / 2);
    let touched = vec![1_u8; usize::try_from(bytes).expect("memory can be addressed")];
    std::hint::black_box(&touched);
}

/// A figure of /proc/meminfo, in bytes.
pub fn meminfo(name: &str) -> u64 {
    let all = fs::read_to_string("/proc/meminfo").unwrap();
    let mut words =
        all.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it").split_whitespace();
    words.next().unwrap().parse::<u64>().unwrap() << 10
}
