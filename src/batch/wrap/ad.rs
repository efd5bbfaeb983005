//! What the wrapper reads in the ClassAds that the starter has put into the scratch directory.

/// The file with the job's ClassAd.
pub const JOB_AD: &str = ".job.ad";

/// The file with the machine's ClassAd.
pub const MACHINE_AD: &str = ".machine.ad";

/// The file with the address and the key of a starter, for condor_chirp.
pub const CHIRP: &str = ".chirp.config";

/// The variable with its path.
pub const CHIRP_VARIABLE: &str = "_CONDOR_CHIRP_CONFIG";

/// The text of an attribute's value, in an ad with one attribute per line. The name is in any case.
pub fn value<'a>(ad: &'a [u8], attribute: &str) -> Option<&'a str> {
    ad.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case(attribute).then(|| value.trim())
    })
}

/// The value of an attribute that is a string without escapes.
pub fn string<'a>(ad: &'a [u8], attribute: &str) -> Option<&'a str> {
    let value = value(ad, attribute)?.strip_prefix('"')?.strip_suffix('"')?;
    (!value.contains(['"', '\\'])).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn a_string_is_found_by_its_attribute() {
        let ad = b"MyName = \"x\"\nname = \"slot1_2@host\"\nNumber = 7\nOdd = \"a\\\"b\"\n";
        assert_eq!(string(ad, "Name"), Some("slot1_2@host"));
        assert_eq!(string(ad, "Number"), None);
        assert_eq!(string(ad, "Odd"), None);
        assert_eq!(string(ad, "None"), None);
    }
}
