//! Memory that the machine has ready when a side needs it.

use super::common::machine;

/// Touches this number of bytes once, at most half of what is available, and frees them. A virtual
/// machine may have given its pages back to the host. The first process that touches such a page
/// waits for it, and this wait must not count for one of the sides.
pub fn touch_and_free(bytes: u64) {
    let bytes = bytes.min(machine::memory("MemAvailable:") / 2);
    let touched = vec![1_u8; usize::try_from(bytes).expect("a size that fits the memory")];
    std::hint::black_box(&touched);
}
