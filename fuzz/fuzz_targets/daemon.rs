//! All bytes are refused as a frame of the account daemon's protocol, or are the only form of one.
//! Add bytes that fail to testdata/daemon.
#![no_main]

use wire::daemon::{Answer, Request, Signal, length};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let check = |encoded: Vec<u8>| {
        let (field, frame) = encoded.split_first_chunk::<4>().expect("a frame has a length");
        assert_eq!(length(*field, frame.len()), Ok(bytes.len()));
        assert_eq!(frame, bytes);
    };
    if let Ok(request) = Request::decode(bytes) {
        check(request.encode());
    }
    if let Ok(answer) = Answer::decode(bytes) {
        check(answer.encode());
    }
    if let Ok(signal) = Signal::decode(bytes) {
        check(signal.encode());
    }
});
