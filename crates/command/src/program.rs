//! One table of a program's options, and what is made from it: the parser and the help text. Man
//! pages and completions are made from the same table (`examples/pages`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;

use error::Shown;

/// A program: what it is called with, and what its help says.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// The arguments after the options, as the usage line shows them.
    pub arguments: &'static str,
    /// Its options; `-h` and `--help` are added.
    pub options: &'static [Flag],
    /// The rest of the help text: paragraphs, of which some begin with a heading and a colon.
    pub text: &'static str,
}

/// An option without a value. At least one of its two spellings is not empty.
pub struct Flag {
    /// The letter after one hyphen; 0 for none.
    pub short: char,
    /// The name after two hyphens; empty for none.
    pub long: &'static str,
    /// What it does, as a phrase.
    pub help: &'static str,
}

/// `-h`, `--help`: every program has it.
pub const HELP: Flag = flag('h', "help", "Print help");

/// `-V`, `--version`, of the programs whose predecessors had no such option.
pub const VERSION: Flag = flag('V', "version", "Print the version");

/// An option of a table.
pub const fn flag(short: char, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, help }
}

/// What a program is called for.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// To print the help text.
    Help,
    /// To do what another option says: its long name or, without one, its letter.
    Option(String),
    /// To work with these words; `ended` if `--` stood before them.
    Words {
        /// The arguments.
        words: Vec<OsString>,
        /// Whether the options were ended by `--`.
        ended: bool,
    },
}

impl Program {
    /// Reads the arguments after the program's name. An option stands first, and alone decides; at
    /// the first word that is none the arguments begin, and nothing in them is an option.
    ///
    /// An option that the table does not have is an error, as one line.
    pub fn read(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Call, String> {
        let mut words: Vec<OsString> = arguments.into_iter().collect();
        let Some(first) = words.first() else { return Ok(Call::Words { words, ended: false }) };
        if first == "--" {
            words.remove(0);
            return Ok(Call::Words { words, ended: true });
        }
        if !first.as_encoded_bytes().starts_with(b"-") {
            return Ok(Call::Words { words, ended: false });
        }
        match self.flags().find(|flag| first.to_str().is_some_and(|word| flag.is(word))) {
            Some(flag) if flag.long == HELP.long => Ok(Call::Help),
            Some(flag) if flag.long.is_empty() => Ok(Call::Option(flag.short.to_string())),
            Some(flag) => Ok(Call::Option(flag.long.to_owned())),
            None => Err(format!("unknown option {}; {}", Shown::os(first), self.usage())),
        }
    }

    /// The usage as one line.
    pub fn usage(&self) -> String {
        format!("usage: {} {}", self.name, self.arguments)
    }

    /// All that `--help` prints.
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

    /// The program's name and version, as a line.
    pub fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// All options, `--help` included.
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

    /// The shorter spelling.
    fn briefly(&self) -> String {
        if self.short == '\0' { format!("--{}", self.long) } else { format!("-{}", self.short) }
    }

    /// All spellings.
    fn spelled(&self) -> String {
        match (self.short, self.long) {
            ('\0', long) => format!("    --{long}"),
            (short, "") => format!("-{short}"),
            (short, long) => format!("-{short}, --{long}"),
        }
    }
}

/// Prints what was asked for. A reader that has gone away is no reason to fail.
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

    fn read(words: &[&str]) -> Result<Call, String> {
        PROGRAM.read(words.iter().map(OsString::from))
    }

    fn words(words: &[&str], ended: bool) -> Result<Call, String> {
        Ok(Call::Words { words: words.iter().map(OsString::from).collect(), ended })
    }

    #[test]
    fn an_option_is_the_first_word_and_nothing_after_it_is_one() {
        assert_eq!(read(&["--help", "x"]), Ok(Call::Help));
        assert_eq!(read(&["-v"]), Ok(Call::Option("version".to_owned())));
        assert_eq!(read(&["-V"]), Ok(Call::Option("V".to_owned())));
        assert_eq!(read(&["x", "--help"]), words(&["x", "--help"], false));
        assert_eq!(read(&["--", "-h"]), words(&["-h"], true));
        assert_eq!(read(&[]), words(&[], false));
    }

    #[test]
    fn what_the_table_does_not_have_is_an_error_with_the_usage() {
        for word in ["-x", "--helpx", "-hv", "-", "--="] {
            let line = format!("unknown option {word}; usage: program [--] <command> [arg...]");
            assert_eq!(read(&[word]), Err(line), "{word}");
        }
    }

    #[test]
    fn the_help_is_made_from_the_table() {
        let help = "Does it.\n\nUsage: program [--] <command> [arg...]\n       program -h | -v | -V\n\n\
                    Options:\n  -h, --help     Print help\n  -v, --version  Print the version\n  \
                    -V             Print all settings\n\nThe rest.\n";
        assert_eq!(PROGRAM.help(), help);
    }
}
