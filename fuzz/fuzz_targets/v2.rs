//! All texts are refused as an environment, or their entries, quoted again, are read as the same
//! entries. Add bytes that fail to testdata/v2.
#![no_main]

use wire::v2::entries;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let Ok(parsed) = entries(text) else { return };
    let mut again = Vec::new();
    for entry in &parsed {
        let macro_left = entry.windows(2).any(|pair| pair == b"$$");
        let name = entry.iter().position(|byte| *byte == b'=');
        assert!(name.map_or(macro_left, |length| length > 0), "{entry:?}");
        again.extend_from_slice(b" '");
        for byte in entry {
            again.extend(std::iter::repeat_n(*byte, if *byte == b'\'' { 2 } else { 1 }));
        }
        again.push(b'\'');
    }
    assert_eq!(entries(&again), Ok(parsed));
});
