//! The table of a program's options, with the parser and the help text, which are made from it.
//! `examples/pages` makes man pages and completions from the same table.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;

use error::Shown;

/// A program: its command line and its help text.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its purpose, in one sentence.
    pub about: &'static str,
    /// The arguments after the options, as the usage line shows them.
    pub arguments: &'static str,
    /// Its options; `-h` and `--help` are added.
    pub options: &'static [Flag],
    /// The rest of the help text: paragraphs. Some begin with a heading and a colon.
    pub text: &'static str,
}

/// An option without a value. It has a letter, a name, or both.
pub struct Flag {
    /// The letter after one hyphen; NUL for none.
    pub short: char,
    /// The name after two hyphens; empty for none.
    pub long: &'static str,
    /// What it does, as a phrase.
    pub help: &'static str,
}

/// `-h`, `--help`: every program has it.
const HELP: Flag = flag('h', "help", "Print help");

/// `-V`, `--version`: for programs whose predecessors have no other `-V`.
pub const VERSION: Flag = flag('V', "version", "Print the version");

/// Makes an option of a table.
pub const fn flag(short: char, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, help }
}

/// What the command line of a call says.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The option for the help text.
    Help,
    /// Another option: its name or, without one, its letter.
    Option(String),
    /// No option, and these arguments.
    Words(Vec<OsString>),
}

impl Program {
    /// Parses the arguments after the program's name. Only the first word can be an option, and
    /// then the others are ignored.
    ///
    /// The error, for an option that is not in the table, is one line.
    pub fn read(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
        let mut words: Vec<OsString> = arguments.into_iter().collect();
        let Some(first) = words.first() else { return Ok(Parsed::Words(words)) };
        if first == "--" {
            words.remove(0);
            return Ok(Parsed::Words(words));
        }
        if !first.as_encoded_bytes().starts_with(b"-") {
            return Ok(Parsed::Words(words));
        }
        match self.flags().find(|flag| first.to_str().is_some_and(|word| flag.is(word))) {
            Some(flag) if flag.long == HELP.long => Ok(Parsed::Help),
            Some(flag) if flag.long.is_empty() => Ok(Parsed::Option(flag.short.to_string())),
            Some(flag) => Ok(Parsed::Option(flag.long.to_owned())),
            None => Err(format!("unknown option {}; {}", Shown::os(first), self.usage())),
        }
    }

    /// The usage, in one line.
    pub fn usage(&self) -> String {
        format!("usage: {} {}", self.name, self.arguments)
    }

    /// The text that `--help` prints.
    pub fn help(&self) -> String {
        let Program { name, about, arguments, text, .. } = self;
        let mut help = format!("{about}\n\nUsage: {name} {arguments}\n       {name} ");
        let briefly: Vec<String> = self.flags().map(Flag::briefly).collect();
        let spelled: Vec<String> = self.flags().map(Flag::spelled).collect();
        let width = spelled.iter().map(String::len).max().unwrap_or(0);
        let _ = write!(help, "{}\n\nOptions:\n", briefly.join(" | "));
        for (flag, spelled) in self.flags().zip(spelled) {
            let _ = writeln!(help, "  {spelled:width$}  {}", flag.help);
        }
        help.push('\n');
        help.push_str(text);
        help
    }

    /// The program's name and version, with a newline.
    pub fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// All options, with `--help`.
    pub fn flags(&self) -> impl Iterator<Item = &Flag> {
        std::iter::once(&HELP).chain(self.options)
    }
}

impl Flag {
    fn is(&self, word: &str) -> bool {
        match word.strip_prefix("--") {
            Some(long) => !long.is_empty() && long == self.long,
            None => word.strip_prefix('-').is_some_and(|short| short.chars().eq([self.short])),
        }
    }

    /// The letter with its hyphen; the name if there is no letter.
    fn briefly(&self) -> String {
        if self.short == '\0' { format!("--{}", self.long) } else { format!("-{}", self.short) }
    }

    /// The letter and the name with their hyphens.
    fn spelled(&self) -> String {
        match (self.short, self.long) {
            ('\0', long) => format!("    --{long}"),
            (short, "") => format!("-{short}"),
            (short, long) => format!("-{short}, --{long}"),
        }
    }
}

/// Writes a text to standard output. An error is ignored: the reader may have closed it.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "program",
        about: "Does it.",
        arguments: "[--] <command> [arg...]",
        options: &[flag('v', "version", "Print the version"), flag('V', "", "Print all settings")],
        text: "The rest.\n",
    };

    fn read(words: &[&str]) -> Result<Parsed, String> {
        PROGRAM.read(words.iter().map(OsString::from))
    }

    fn words(words: &[&str]) -> Result<Parsed, String> {
        Ok(Parsed::Words(words.iter().map(OsString::from).collect()))
    }

    #[test]
    fn only_the_first_word_can_be_an_option() {
        assert_eq!(read(&["--help", "x"]), Ok(Parsed::Help));
        assert_eq!(read(&["-v"]), Ok(Parsed::Option("version".to_owned())));
        assert_eq!(read(&["-V"]), Ok(Parsed::Option("V".to_owned())));
        assert_eq!(read(&["x", "--help"]), words(&["x", "--help"]));
        assert_eq!(read(&["--", "-h"]), words(&["-h"]));
        assert_eq!(read(&[]), words(&[]));
    }

    #[test]
    fn an_option_that_is_not_in_the_table_is_an_error_with_the_usage() {
        for word in ["-x", "--helpx", "-hv", "-", "--="] {
            let line = format!("unknown option {word}; usage: program [--] <command> [arg...]");
            assert_eq!(read(&[word]), Err(line), "{word}");
        }
    }

    #[test]
    fn the_help_is_made_from_the_table() {
        let help = "Does it.\n\nUsage: program [--] <command> [arg...]\n       \
                    program -h | -v | -V\n\n\
                    Options:\n  -h, --help     Print help\n  -v, --version  Print the version\n  \
                    -V             Print all settings\n\nThe rest.\n";
        assert_eq!(PROGRAM.help(), help);
    }
}
