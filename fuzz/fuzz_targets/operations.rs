//! All arguments are refused as an operation, or are the only form of one. Add bytes that fail to
//! testdata/operations.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use wire::Operation;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A NUL ends each argument; the last one may lack it.
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let words: Vec<OsString> =
        bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    if let Ok(operation) = Operation::parse(&words) {
        assert_eq!(operation.to_args(), words);
    }
});
