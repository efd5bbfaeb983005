//! Values of the configuration. The errors say what a value must be; they follow the key.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ::world::Bind;
use error::Shown;

use super::values::{Bound, Destination, Door, LockMechanism, Mapping, SwitchBy};
use crate::names::is_account_name;

type Parsed<T> = Result<T, String>;

/// `shared` or `closed`, in any case: whether it is closed.
pub(super) fn world(value: &[u8]) -> Parsed<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"shared" => Ok(false),
        b"closed" => Ok(true),
        _ => Err("it must be shared or closed".to_owned()),
    }
}

/// `yes` or `no`, in any case.
pub(super) fn yes_no(value: &[u8]) -> Parsed<bool> {
    match () {
        () if value.eq_ignore_ascii_case(b"yes") => Ok(true),
        () if value.eq_ignore_ascii_case(b"no") => Ok(false),
        () => Err("it must be yes or no".to_owned()),
    }
}

/// A whole number in a range.
pub(super) fn number(value: &[u8], range: RangeInclusive<u32>) -> Parsed<u32> {
    let number = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        format!("it must be a whole number from {} to {}", range.start(), range.end())
    })
}

/// A size, or two with a colon between: the limit of a payload. Nothing is no limit.
pub(super) fn size_limit(value: &[u8]) -> Parsed<Option<Bound>> {
    let size = |word: &[u8]| ::world::parse_size(OsStr::from_bytes(word));
    limit(value, size, "a size as 500M or 4G")
}

/// As [`size_limit`], with numbers.
pub(super) fn number_limit(value: &[u8]) -> Parsed<Option<Bound>> {
    let count = |word: &[u8]| number(word, 1..=u32::MAX).ok().map(u64::from);
    limit(value, count, "a whole number above 0")
}

fn limit(value: &[u8], read: impl Fn(&[u8]) -> Option<u64>, form: &str) -> Parsed<Option<Bound>> {
    if value.is_empty() {
        return Ok(None);
    }
    let mut words = value.splitn(2, |byte| *byte == b':').map(<[u8]>::trim_ascii);
    let usual = words.next().and_then(&read);
    let most = words.next().map_or(usual, &read);
    match (usual, most) {
        (Some(usual), Some(most)) if 0 < usual && usual <= most => Ok(Some(Bound { usual, most })),
        _ => Err(format!(
            "it must be {form}, or two with a colon between, of which the second is not lower"
        )),
    }
}

/// Limits `level=seconds`, with commas between them.
pub(super) fn lifetimes(value: &[u8]) -> Parsed<Vec<OsString>> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let is_limit = |word: &str| {
        let Some((level, seconds)) = word.split_once('=') else { return false };
        let is_level = level == "leaf" || number(level.as_bytes(), 1..=32).is_ok();
        is_level && number(seconds.as_bytes(), 1..=u32::MAX).is_ok()
    };
    let words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let limit = |word| match std::str::from_utf8(word) {
        Ok(text) if is_limit(text) => Ok(OsString::from(text)),
        _ => {
            Err("it must be level=seconds with commas between, as in 1=86400,leaf=43200".to_owned())
        }
    };
    words.map(limit).collect()
}

/// An absolute path without `.`, `..`, double and final slashes. hooks::trust opens no other.
pub(super) fn path(value: &[u8]) -> Parsed<PathBuf> {
    if is_canonical(value) {
        return Ok(PathBuf::from(OsStr::from_bytes(value)));
    }
    Err("it must be an absolute path, without . .. // and a slash at its end".to_owned())
}

/// A path, or nothing.
pub(super) fn optional_path(value: &[u8]) -> Parsed<Option<PathBuf>> {
    if value.is_empty() { Ok(None) } else { path(value).map(Some) }
}

fn is_canonical(value: &[u8]) -> bool {
    let is_name = |name: &[u8]| sys::Name::new(name).is_some();
    value.strip_prefix(b"/").is_some_and(|rest| rest.split(|byte| *byte == b'/').all(is_name))
}

/// Directories with colons between them. An empty one would be the working directory.
pub(super) fn search_path(value: &[u8]) -> Parsed<OsString> {
    if value.split(|byte| *byte == b':').all(is_canonical) {
        return Ok(OsStr::from_bytes(value).to_owned());
    }
    Err("it must be absolute directories with colons between them".to_owned())
}

/// The same directories one by one, or nothing.
pub(super) fn directories(value: &[u8]) -> Parsed<Vec<PathBuf>> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let directories = search_path(value)?;
    Ok(std::env::split_paths(&directories).collect())
}

/// Whether a failure refuses the payload.
pub(super) fn refuses(value: &[u8]) -> Parsed<bool> {
    match value {
        b"refuse" => Ok(true),
        b"log" => Ok(false),
        _ => Err("it must be refuse or log".to_owned()),
    }
}

/// Whether something missing or unusable refuses the payload.
pub(super) fn refuses_or_goes_on(value: &[u8]) -> Parsed<bool> {
    match value {
        b"refuse" => Ok(true),
        b"go_on" => Ok(false),
        _ => Err("it must be refuse or go_on".to_owned()),
    }
}

/// Paths with commas between them, each with a colon and the place where it is seen, or without.
pub(super) fn binds(value: &[u8]) -> Parsed<Vec<Bind>> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let bind = |word: &[u8]| {
        let mut parts = word.splitn(2, |byte| *byte == b':');
        let from = path(parts.next().unwrap_or_default())?;
        let at = parts.next().map_or(Ok(from.clone()), path)?;
        Ok(Bind { from, at })
    };
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).map(bind).collect()
}

/// The name of an account or group, or nothing.
pub(super) fn optional_name(value: &[u8]) -> Parsed<Option<OsString>> {
    match value {
        [] => Ok(None),
        name if is_account_name(name) => Ok(Some(OsStr::from_bytes(name).to_owned())),
        _ => Err("it must be one name".to_owned()),
    }
}

/// Names of environment variables, separated by commas. Deployed files also have `yes` or `no`
/// here, which name nothing.
pub(super) fn variables(value: &[u8]) -> Parsed<Vec<OsString>> {
    if is_yes_or_no(value) || value.is_empty() {
        return Ok(Vec::new());
    }
    let words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let name = |word: &[u8]| {
        if is_variable(word) {
            return Ok(OsStr::from_bytes(word).to_owned());
        }
        Err(format!("\"{}\" is not the name of an environment variable", Shown(word)))
    };
    words.map(name).collect()
}

/// Whether a value is a word that names nothing where names are expected.
pub(super) fn is_yes_or_no(value: &[u8]) -> bool {
    yes_no(value).is_ok()
}

fn is_variable(word: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    word.first().is_some_and(|first| !first.is_ascii_digit()) && word.iter().all(fits)
}

/// One of a few words.
fn word<T: Copy, const N: usize>(value: &[u8], words: [(&str, T); N]) -> Parsed<T> {
    let found = words.iter().find(|(word, _)| word.as_bytes() == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("it must be one of {}", words.join(", "))
    })
}

pub(super) fn door(value: &[u8]) -> Parsed<Door> {
    let words = [
        ("auto", Door::Auto),
        ("setuid", Door::Setuid),
        ("daemon", Door::Daemon),
        ("rootless", Door::Rootless),
    ];
    word(value, words)
}

pub(super) fn mapping(value: &[u8]) -> Parsed<Mapping> {
    word(value, [("proxy", Mapping::Proxy), ("caller", Mapping::Caller)])
}

pub(super) fn switch_by(value: &[u8]) -> Parsed<SwitchBy> {
    word(value, [("glexec", SwitchBy::Glexec), ("lcmaps", SwitchBy::Lcmaps)])
}

pub(super) fn lock_mechanism(value: &[u8]) -> Parsed<LockMechanism> {
    let words = [
        ("flock", LockMechanism::Flock),
        ("fcntl", LockMechanism::Fcntl),
        ("disabled", LockMechanism::Disabled),
    ];
    word(value, words)
}

pub(super) fn destination(value: &[u8]) -> Parsed<Destination> {
    word(value, [("syslog", Destination::Syslog), ("file", Destination::File)])
}

#[cfg(test)]
mod tests {
    use super::{
        Bound, number, optional_name, optional_path, path, search_path, variables, yes_no,
    };

    #[test]
    fn a_path_is_absolute_and_canonical() {
        for good in ["/a", "/etc/grid-security/grid-mapfile", "/a b/c"] {
            assert!(path(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "/", "a", "./a", "/a/", "//a", "/a//b", "/a/../b", "/a/.", "~/a"] {
            assert!(path(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(optional_path(b""), Ok(None));
        let long = [b"/", &[b'x'; 1 << 20][..]].concat();
        assert!(path(&long).is_err());
    }

    #[test]
    fn a_search_path_has_no_directory_that_depends_on_the_working_directory() {
        assert!(search_path(b"/usr/bin:/bin").is_ok());
        for bad in ["", ":", "/bin:", ":/bin", "/bin::/usr/bin", ".", "bin", "/bin:."] {
            assert!(search_path(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_in_its_range_and_yes_or_no_is_one_of_them() {
        assert_eq!((number(b"1", 1..=5), number(b"5", 1..=5)), (Ok(1), Ok(5)));
        for bad in ["0", "6", "", "-1", "1.5", "0x3", " 3", "99999999999"] {
            assert!(number(bad.as_bytes(), 1..=5).is_err(), "{bad}");
        }
        assert_eq!((yes_no(b"yes"), yes_no(b"NO")), (Ok(true), Ok(false)));
        assert!(yes_no(b"").is_err() && yes_no(b"true").is_err() && yes_no(b"1").is_err());
    }

    #[test]
    fn a_limit_is_the_usual_one_and_the_most() {
        let size = |value: &str| super::size_limit(value.as_bytes());
        assert_eq!(size(""), Ok(None));
        assert_eq!(size("1K"), Ok(Some(Bound { usual: 1024, most: 1024 })));
        assert_eq!(size("1K : 2K"), Ok(Some(Bound { usual: 1024, most: 2048 })));
        for bad in ["0", "x", ":", "1K:", ":1K", "2K:1K", "1:2:3", "-1"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(super::number_limit(b"2:4"), Ok(Some(Bound { usual: 2, most: 4 })));
        assert!(super::number_limit(b"2K").is_err());
    }

    #[test]
    fn names_are_names() {
        let names = |value: &str| variables(value.as_bytes()).map(|names| names.len());
        assert_eq!((names("A, B_2 ,_c"), names(""), names("yes")), (Ok(3), Ok(0), Ok(0)));
        for bad in ["A,,B", "A=B", "2A", "A B", "A*", "-A"] {
            assert!(names(bad).is_err(), "{bad}");
        }
        assert!(optional_name(b"a b").is_err() && optional_name(b"0").is_err());
        assert_eq!(optional_name(b""), Ok(None));
    }

    #[test]
    fn a_lifetime_has_a_level_and_seconds() {
        let count = |value: &str| super::lifetimes(value.as_bytes()).map(|limits| limits.len());
        assert_eq!(count(""), Ok(0));
        assert_eq!(count("1=86400, leaf=43200"), Ok(2));
        for value in ["1", "=1", "0=1", "1=0", "33=1", "leaf=", "leaf=-1", "1=1,", "1=1;2=1"] {
            assert!(count(value).is_err(), "{value}");
        }
    }
}
