//! Sizes as options give them.

use std::ffi::OsStr;

/// The number of bytes: digits, and K, M, G or T for powers of 1024. None for anything else, and
/// for more than 64 bits hold.
pub fn parse(text: &OsStr) -> Option<u64> {
    let text = text.to_str()?;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_size_is_a_number_of_bytes_or_one_with_a_unit() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("2K", 2048), ("3g", 3 << 30)] {
            assert_eq!(parse(text.as_ref()), Some(bytes), "{text}");
        }
        for text in ["", "K", "-1", "+1", "1.5G", "1 G", "1GB", "99999999T"] {
            assert_eq!(parse(text.as_ref()), None, "{text}");
        }
    }
}
