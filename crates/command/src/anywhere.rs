//! The command line of a program whose options and operands are in any order.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use error::Shown;

use crate::program::{Options, Program, VERSION, print};

impl Program {
    /// Parses the arguments after the program's name: options of the table that combine, in any
    /// place up to `--`, and operands, which are [`Options::command`] of the answer. `-` alone is
    /// an operand. None if the help text or the version was asked for, which is printed; these must
    /// be the only word.
    ///
    /// The error is one line.
    pub fn read_anywhere(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Options>, String> {
        let mut options = Options::default();
        let mut words = arguments.into_iter();
        let mut is_first = true;
        while let Some(word) = words.next() {
            if word == "--" {
                options.command.extend(words);
                break;
            }
            if word == "-" || !word.as_bytes().starts_with(b"-") {
                options.command.push(word);
                is_first = false;
                continue;
            }
            let shown = Shown::os(&word);
            let Some((flag, value)) = self.find(&word) else {
                return Err(format!("unknown option {shown}; {}", self.usage()));
            };
            if !flag.combines {
                if !is_first || words.next().is_some() {
                    return Err(format!("{shown} must be the only word"));
                }
                let is_version = flag.long == VERSION.long;
                print(&if is_version { self.version() } else { self.help() });
                return Ok(None);
            }
            let value = match value {
                _ if flag.value.is_empty() => Some(OsString::new()),
                Some(value) => Some(value.to_owned()),
                None => words.next(),
            };
            let Some(value) = value else {
                return Err(format!("the option {shown} needs a value: {}", flag.value));
            };
            if options.get(flag.long).is_some() {
                return Err(format!("the option --{} is given twice", flag.long));
            }
            options.given.push((flag.long, value));
            is_first = false;
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::option;

    const PROGRAM: Program = Program {
        name: "program",
        about: "Does it.",
        arguments: "[--at <time>] [--now] <account>...",
        operations: &[],
        options: &[option("at", "<time>", "When"), option("now", "", "Now"), VERSION],
        text: "The rest.\n",
    };

    fn read(words: &[&str]) -> Result<(Vec<&'static str>, Vec<OsString>), String> {
        let options = PROGRAM.read_anywhere(words.iter().map(OsString::from))?;
        let options = options.unwrap_or_default();
        Ok((options.names().collect(), options.command().to_vec()))
    }

    #[test]
    fn options_are_in_any_place_before_two_hyphens() {
        let operands = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(read(&["a", "--now", "b"]), Ok((vec!["now"], operands(&["a", "b"]))));
        assert_eq!(read(&["--at=x", "a"]), Ok((vec!["at"], operands(&["a"]))));
        assert_eq!(read(&["a", "--at", "--now"]), Ok((vec!["at"], operands(&["a"]))));
        assert_eq!(read(&["-", "--", "--now"]), Ok((vec![], operands(&["-", "--now"]))));
        assert_eq!(read(&[]), Ok((vec![], vec![])));
    }

    #[test]
    fn a_wrong_option_is_an_error_in_one_line() {
        for (words, why) in [
            (&["a", "--at"][..], "the option --at needs a value: <time>"),
            (&["--now", "a", "--now"], "the option --now is given twice"),
            (&["a", "--help"], "--help must be the only word"),
            (&["--help", "a"], "--help must be the only word"),
            (&["-n"], "unknown option -n; usage: program [--at <time>] [--now] <account>..."),
        ] {
            assert_eq!(read(words), Err(why.to_owned()));
        }
    }
}
