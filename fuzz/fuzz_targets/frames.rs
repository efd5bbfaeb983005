//! All bytes are refused as a frame, or are the only encoding of one. Add bytes that fail to
//! testdata/frames.
#![no_main]

#[path = "../../tests/support/canonical.rs"]
mod canonical;

use wire::Frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        canonical::check(bytes, frame);
    }
});
