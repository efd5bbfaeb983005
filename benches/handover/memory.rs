//! Memory that is there when it is needed.

use super::common::machine;

/// Touches so many bytes once, at most half of what is available, and frees them. A virtual machine
/// may have given its pages back to the host: whoever touches them first waits for them, and that
/// shall be none of the sides.
pub fn touch_and_free(bytes: u64) {
    let bytes = bytes.min(machine::memory("MemAvailable:") / 2);
    let touched = vec![1_u8; usize::try_from(bytes).expect("memory can be addressed")];
    std::hint::black_box(&touched);
}
