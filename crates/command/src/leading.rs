//! The command line of a program whose options precede a command, as those of env(1).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use error::Shown;

use crate::program::{Program, VERSION, print};

/// What such a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Leading {
    /// The help text or the version, which is printed.
    Answered,
    /// A command.
    Command {
        /// The options with their values, in their order; one can be there more than once.
        options: Vec<(&'static str, OsString)>,
        /// The command and its arguments.
        words: Vec<OsString>,
    },
}

impl Program {
    /// Parses the arguments after the program's name: options of the table that combine, which all
    /// have values, then `--` or the first word without a hyphen, then words that are not parsed.
    /// `--help` and `--version` are the first word or an error.
    ///
    /// The error is one line.
    pub fn read_leading(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Leading, String> {
        let mut options = Vec::new();
        let mut words = arguments.into_iter().peekable();
        while let Some(word) = words.next_if(|word| word.as_bytes().starts_with(b"-")) {
            if word == "--" {
                break;
            }
            match self.find(&word) {
                Some((flag, value)) if flag.combines => {
                    let value = value.map(OsString::from).or_else(|| words.next());
                    let missing = || format!("the option --{} needs a value", flag.long);
                    options.push((flag.long, value.ok_or_else(missing)?));
                }
                Some((flag, _)) if options.is_empty() => {
                    let is_version = flag.long == VERSION.long;
                    print(&if is_version { self.version() } else { self.help() });
                    return Ok(Leading::Answered);
                }
                Some(_) => return Err(format!("{} must be the only option", Shown::os(&word))),
                None => {
                    return Err(format!("unknown option {}; {}", Shown::os(&word), self.usage()));
                }
            }
        }
        Ok(Leading::Command { options, words: words.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::option;

    const PROGRAM: Program = Program {
        name: "program",
        about: "Does it.",
        arguments: "[--without <names>] [--] <command> [arg...]",
        operations: &[],
        options: &[option("without", "<names>", "Leave these out"), VERSION],
        text: "The rest.\n",
    };

    fn read(words: &[&str]) -> Result<Leading, String> {
        PROGRAM.read_leading(words.iter().map(OsString::from))
    }

    fn command(names: &[&str], words: &[&str]) -> Result<Leading, String> {
        let options = names.iter().map(|name| ("without", OsString::from(name))).collect();
        Ok(Leading::Command { options, words: words.iter().map(OsString::from).collect() })
    }

    #[test]
    fn options_precede_the_command_and_nothing_after_its_first_word_is_one() {
        assert_eq!(read(&["a", "--without", "b"]), command(&[], &["a", "--without", "b"]));
        assert_eq!(read(&["--without", "a,b", "c"]), command(&["a,b"], &["c"]));
        let twice = ["--without=a", "--without", "--", "--", "-c", "--help"];
        assert_eq!(read(&twice), command(&["a", "--"], &["-c", "--help"]));
        assert_eq!(read(&["--"]), command(&[], &[]));
        assert_eq!(read(&[]), command(&[], &[]));
    }

    #[test]
    fn a_wrong_option_is_an_error_in_one_line() {
        for (words, why) in [
            (&["--without"][..], "the option --without needs a value"),
            (&["--without", "a", "-h"], "-h must be the only option"),
            (
                &["-x"],
                "unknown option -x; usage: program [--without <names>] [--] <command> [arg...]",
            ),
        ] {
            assert_eq!(read(words), Err(why.to_owned()), "{words:?}");
        }
    }
}
