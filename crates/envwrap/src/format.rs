//! The format of gLExec's scripts: Base64 of the zlib stream of all variables, each as Base64 of
//! `NAME=VALUE` with a space after it.
//!
//! The value is read as text of another program: its size is limited, and every entry is checked.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use base64ct::{Base64, Encoding as _};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

/// A variable: its name and its value.
pub type Variable = (OsString, OsString);

/// The longest value that can be a variable's, in bytes: Linux limits `GLEXEC_ENV=<value>` with the
/// NUL after it to 128 KiB (execve(2), MAX_ARG_STRLEN for pages of 4 KiB).
pub const LONGEST: usize = (128 << 10) - "GLEXEC_ENV=".len() - 1;

/// The largest content that is read, in bytes after decompression. No environment is larger: the
/// kernel limits arguments and variables together to 6 MiB (execve(2)), which are 8 MiB in Base64.
const LARGEST: usize = 8 << 20;

/// The level of compression: zlib's default.
const LEVEL: u8 = 6;

/// Why a value is not in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is not Base64 (RFC 4648).
    Encoding,
    /// It is not a zlib stream (RFC 1950), or not a whole one.
    Compression,
    /// Its content is larger than any environment.
    TooLarge,
    /// The entry with this number, counted from 1, is not Base64.
    EntryEncoding(usize),
    /// The entry with this number is not a name and a value with `=` between them, or has a NUL.
    Entry(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Encoding => write!(f, "it is not Base64"),
            Malformed::Compression => write!(f, "it is not a whole zlib stream"),
            Malformed::TooLarge => {
                write!(f, "it decompresses to more than {} MiB", LARGEST >> 20)
            }
            Malformed::EntryEncoding(number) => write!(f, "entry {number} in it is not Base64"),
            Malformed::Entry(number) => {
                write!(f, "entry {number} in it is not NAME=VALUE without NUL bytes")
            }
        }
    }
}

/// The value for these variables. What cannot be a variable (see [`decode`]) is left out.
pub fn encode<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> String {
    let mut content = String::new();
    for (name, value) in variables {
        let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
        if is_name(name.as_bytes()) && !entry.contains(&0) {
            content.push_str(&Base64::encode_string(&entry));
            content.push(' ');
        }
    }
    Base64::encode_string(&compress_to_vec_zlib(content.as_bytes(), LEVEL))
}

/// The variables in a value, in their order. White space in Base64 does not count: encoders may
/// break lines.
pub fn decode(value: &[u8]) -> Result<Vec<Variable>, Malformed> {
    let compressed = base64(value).ok_or(Malformed::Encoding)?;
    let content = decompress_to_vec_zlib_with_limit(&compressed, LARGEST).map_err(|error| {
        match error.status {
            TINFLStatus::HasMoreOutput => Malformed::TooLarge,
            _ => Malformed::Compression,
        }
    })?;
    let entries =
        content.split(|byte| *byte == b' ').filter(|entry| !entry.trim_ascii().is_empty());
    let variable = |(number, entry): (usize, &[u8])| {
        let number = number + 1;
        let entry = base64(entry).ok_or(Malformed::EntryEncoding(number))?;
        variable(&entry).ok_or(Malformed::Entry(number))
    };
    entries.enumerate().map(variable).collect()
}

/// A variable from its entry.
fn variable(entry: &[u8]) -> Option<Variable> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&entry[..at], &entry[at + 1..]);
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    (is_name(name) && !entry.contains(&0)).then(|| (os(name), os(value)))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=')
}

/// The bytes of a text in Base64 with padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Base64::decode_vec(std::str::from_utf8(&text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables after both ways.
    fn there_and_back(variables: &[Variable]) -> Result<Vec<Variable>, Malformed> {
        let borrowed = variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        decode(encode(borrowed).as_bytes())
    }

    fn variable_of(name: &[u8], value: &[u8]) -> Variable {
        (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec()))
    }

    /// A value with this content, which may be malformed.
    fn value_of(content: &[u8]) -> Vec<u8> {
        Base64::encode_string(&compress_to_vec_zlib(content, LEVEL)).into_bytes()
    }

    fn value_of_entries(entries: &[&[u8]]) -> Vec<u8> {
        let entries = entries.iter().map(|entry| Base64::encode_string(entry) + " ");
        value_of(entries.collect::<String>().as_bytes())
    }

    #[test]
    fn any_variables_are_the_same_after_both_ways() {
        let mut random = fastrand::Rng::with_seed(3);
        for count in 0..200 {
            let bytes = |random: &mut fastrand::Rng, from: usize| -> Vec<u8> {
                let length = random.usize(from..40);
                (0..length).map(|_| random.u8(1..)).collect()
            };
            let variables: Vec<Variable> = (0..count)
                .map(|_| {
                    let name: Vec<u8> = bytes(&mut random, 1)
                        .into_iter()
                        .map(|byte| if byte == b'=' { b'_' } else { byte })
                        .collect();
                    variable_of(&name, &bytes(&mut random, 0))
                })
                .collect();
            assert_eq!(there_and_back(&variables), Ok(variables));
        }
    }

    #[test]
    fn every_byte_but_nul_passes_in_a_name_and_in_a_value() {
        let all: Vec<u8> = (1..=255).collect();
        let name: Vec<u8> = all.iter().copied().filter(|byte| *byte != b'=').collect();
        let variables = [variable_of(&name, &all), variable_of(b"EMPTY", b"")];
        assert_eq!(there_and_back(&variables), Ok(variables.to_vec()));
    }

    #[test]
    fn what_cannot_be_a_variable_is_left_out() {
        let variables =
            [variable_of(b"", b"x"), variable_of(b"A=B", b"x"), variable_of(b"A", b"\0")];
        assert_eq!(there_and_back(&variables), Ok(Vec::new()));
    }

    #[test]
    fn lines_of_an_encoder_that_breaks_them_are_joined() {
        let long = vec![b'x'; 300];
        let entry = Base64::encode_string(&[b"LONG=", long.as_slice()].concat());
        let broken = |text: &str| {
            let lines = text.as_bytes().chunks(76).map(|line| [line, b"\n"].concat());
            lines.collect::<Vec<_>>().concat()
        };
        let value = value_of(&[broken(&entry), b" ".to_vec()].concat());
        let value = broken(std::str::from_utf8(&value).unwrap_or_default());
        assert_eq!(decode(&value), Ok(vec![variable_of(b"LONG", &long)]));
    }

    #[test]
    fn a_value_that_is_not_in_the_format_is_refused() {
        let whole = value_of_entries(&[b"A=1"]);
        let compressed = base64(&whole).unwrap_or_default();
        let cut = Base64::encode_string(&compressed[..compressed.len() - 5]);
        for (value, why) in [
            (&b"!"[..], Malformed::Encoding),
            (b"\xff", Malformed::Encoding),
            (b"", Malformed::Compression),
            (b"QUJD", Malformed::Compression),
            (cut.as_bytes(), Malformed::Compression),
            (&value_of(b"! "), Malformed::EntryEncoding(1)),
            (&value_of_entries(&[b"A=1", b"B"]), Malformed::Entry(2)),
            (&value_of_entries(&[b"=1"]), Malformed::Entry(1)),
            (&value_of_entries(&[b"A=1\0"]), Malformed::Entry(1)),
            (&value_of_entries(&[b"A\0=1"]), Malformed::Entry(1)),
        ] {
            assert_eq!(decode(value), Err(why), "{value:?}");
        }
    }

    #[test]
    fn a_stream_that_decompresses_to_more_than_any_environment_is_refused() {
        let bomb = value_of(&vec![b' '; LARGEST + 1]);
        assert!(bomb.len() < LONGEST, "{} bytes", bomb.len());
        assert_eq!(decode(&bomb), Err(Malformed::TooLarge));
        assert_eq!(decode(&value_of(&vec![b' '; LARGEST])), Ok(Vec::new()));
    }
}
