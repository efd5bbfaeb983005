//! The command line.

use std::ffi::OsString;

use crate::refusal::{Refusal, Result};

/// What a call asks for.
pub enum Request {
    Help,
    Version,
    Verify(Settings),
}

/// The settings of a site.
#[derive(Debug, Default)]
pub struct Settings {
    /// The directory of the trusted authorities.
    pub ca_directory: String,
    /// Whether limited proxies are accepted.
    pub allow_limited: bool,
    /// Whether a credential needs no key.
    pub allow_no_key: bool,
    /// The longest validity in seconds of a proxy, for levels.
    pub max_lifetimes: Vec<(Level, u64)>,
}

/// The place of a proxy in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// 1 for the proxy that the user's own certificate has signed, 2 for the next.
    Number(usize),
    /// The last one, whose key is in the credential.
    Leaf,
}

/// Reads the arguments after the program's name.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Request> {
    let wrong = |why: String| Refusal::site(format!("{why}; see glexec_verify --help"));
    let mut settings = Settings::default();
    let mut words = arguments.into_iter().map(|word| {
        word.into_string()
            .map_err(|word| wrong(format!("not in UTF-8: {}", word.to_string_lossy())))
    });
    while let Some(word) = words.next().transpose()? {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match (option, value) {
            ("-h" | "--help", None) => return Ok(Request::Help),
            ("-V" | "--version", None) => return Ok(Request::Version),
            ("--allow-limited", None) => settings.allow_limited = true,
            ("--allow-no-key", None) => settings.allow_no_key = true,
            ("--ca-directory" | "--max-lifetime", value) => {
                let value = value.map_or_else(|| words.next().transpose(), |value| Ok(Some(value)));
                let value = value?.ok_or_else(|| wrong(format!("{option} needs a value")))?;
                if option == "--ca-directory" {
                    settings.ca_directory = value;
                } else {
                    let limit = max_lifetime(&value);
                    settings.max_lifetimes.push(limit.ok_or_else(|| {
                        wrong(format!("{option}: not <level>=<seconds>: {value}"))
                    })?);
                }
            }
            _ => return Err(wrong(format!("unknown argument {word}"))),
        }
    }
    // OpenSSL takes a list of directories, separated by colons.
    match settings.ca_directory.as_bytes() {
        [] => Err(wrong("--ca-directory is missing".to_owned())),
        [b'/', rest @ ..] if !rest.contains(&b':') => Ok(Request::Verify(settings)),
        _ => Err(wrong(format!(
            "--ca-directory: not an absolute path without colons: {}",
            settings.ca_directory
        ))),
    }
}

fn max_lifetime(value: &str) -> Option<(Level, u64)> {
    let (level, seconds) = value.split_once('=')?;
    let level = match level {
        "leaf" => Level::Leaf,
        number => Level::Number(number.parse().ok().filter(|number| *number > 0)?),
    };
    Some((level, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(words: &[&str]) -> Option<Settings> {
        match read(words.iter().map(OsString::from)) {
            Ok(Request::Verify(settings)) => Some(settings),
            _ => None,
        }
    }

    #[test]
    fn a_value_is_the_next_word_or_follows_an_equals_sign() {
        for words in [
            &["--ca-directory", "/a", "--max-lifetime", "1=60", "--max-lifetime", "leaf=5"][..],
            &["--max-lifetime=1=60", "--max-lifetime=leaf=5", "--ca-directory=/a"],
        ] {
            let found = settings(words).unwrap_or_default();
            assert_eq!((found.ca_directory.as_str(), found.allow_limited), ("/a", false));
            assert_eq!(found.max_lifetimes, [(Level::Number(1), 60), (Level::Leaf, 5)]);
        }
    }

    #[test]
    fn a_wrong_argument_is_an_error() {
        for words in [
            &[][..],
            &["--ca-directory"],
            &["--ca-directory", "a"],
            &["--ca-directory", "/a:/b"],
            &["--ca-directory", "/a", "b"],
            &["--ca-directory", "/a", "--allow-limited=no"],
            &["--ca-directory", "/a", "--allow-bare"],
            &["--ca-directory", "/a", "--max-lifetime", "60"],
            &["--ca-directory", "/a", "--max-lifetime", "0=60"],
            &["--ca-directory", "/a", "--max-lifetime", "1=-60"],
        ] {
            assert!(settings(words).is_none(), "{words:?}");
        }
    }
}
