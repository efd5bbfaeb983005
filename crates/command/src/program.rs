//! The table of a program's options, with the parser and the help text, which are made from it.
//! `examples/pages` makes man pages and completions from the same table.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use error::Shown;

/// A program: its command line and its help text.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its purpose, in one sentence.
    pub about: &'static str,
    /// The arguments after the options, as the usage line shows them.
    pub arguments: &'static str,
    /// The other usage lines: options that are given together.
    pub operations: &'static [&'static str],
    /// Its options; `-h` and `--help` are added.
    pub options: &'static [Flag],
    /// The rest of the help text: paragraphs. Some begin with a heading and a colon.
    pub text: &'static str,
}

/// An option. It has a letter, a name, or both.
pub struct Flag {
    /// The letter after one hyphen; NUL for none.
    pub short: char,
    /// The name after two hyphens; empty for none.
    pub long: &'static str,
    /// What its value is, as the help text shows it; empty if it has no value.
    pub value: &'static str,
    /// Whether a call can have further options beside it, and no command.
    pub combines: bool,
    /// Whether it can be given more than once.
    pub repeats: bool,
    /// What it does, as a phrase.
    pub help: &'static str,
}

/// `-h`, `--help`: every program has it.
const HELP: Flag = flag('h', "help", "Print help");

/// `-V`, `--version`: for programs whose predecessors have no other `-V`.
pub const VERSION: Flag = flag('V', "version", "Print the version");

/// Makes an option of a table that is the only one of its call.
pub const fn flag(short: char, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value: "", combines: false, repeats: false, help }
}

/// Makes an option of a table that can be one of several.
pub const fn option(long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { short: '\0', long, value, combines: true, repeats: false, help }
}

/// As [`option`]; it can be given more than once.
pub const fn repeated(long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { repeats: true, ..option(long, value, help) }
}

/// What the command line of a call says.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The option for the help text.
    Help,
    /// Another option: its name or, without one, its letter.
    Option(String),
    /// Options that can be combined.
    Options(Options),
    /// No option, and these arguments.
    Words(Vec<OsString>),
}

/// Options that can be combined, and the words of a command after `--`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) given: Vec<(&'static str, OsString)>,
    pub(crate) command: Vec<OsString>,
}

impl Options {
    /// The value of the option with this name, if it is given: the first one. It is empty for one
    /// without a value.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.given.iter().find(|(found, _)| *found == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// The names of all options that are given.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.given.iter().map(|(name, _)| *name)
    }

    /// All options that are given, with their values.
    pub fn given(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.given.iter().map(|(name, value)| (*name, value.as_os_str()))
    }

    /// The words after `--`; none if there is no `--`.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }
}

impl Program {
    /// Parses the arguments after the program's name. Only the first word can be an option, and
    /// then the others are ignored. If that option can be combined with others, all words up to
    /// `--` are options, or the values of options.
    ///
    /// The error, for a word that is not in the table, is one line.
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
        match self.find(first) {
            Some((flag, _)) if flag.combines => self.options(words),
            Some((flag, _)) if flag.long == HELP.long => Ok(Parsed::Help),
            Some((flag, _)) if flag.long.is_empty() => Ok(Parsed::Option(flag.short.to_string())),
            Some((flag, _)) => Ok(Parsed::Option(flag.long.to_owned())),
            None => Err(format!("unknown option {}; {}", Shown::os(first), self.usage())),
        }
    }

    /// As [`Program::read`], for a program that has no other options than `--help` and `--version`:
    /// prints what they ask for, or returns the arguments.
    pub fn read_words(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Vec<OsString>>, String> {
        match self.read(arguments)? {
            Parsed::Words(words) => return Ok(Some(words)),
            Parsed::Help => print(&self.help()),
            Parsed::Option(_) | Parsed::Options(_) => print(&self.version()),
        }
        Ok(None)
    }

    /// Parses options that can be combined. A value is the next word, or follows `=`.
    fn options(&self, words: Vec<OsString>) -> Result<Parsed, String> {
        let mut found = Options::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                found.command = words.collect();
                break;
            }
            let shown = Shown::os(&word);
            let (flag, value) = match self.find(&word) {
                Some((flag, value)) if flag.combines => (flag, value),
                _ => return Err(format!("{shown} cannot be given with these options")),
            };
            let value = match value {
                _ if flag.value.is_empty() => Some(OsString::new()),
                Some(value) => Some(value.to_owned()),
                None => words.next(),
            };
            let Some(value) = value else {
                return Err(format!("the option {shown} needs a value: {}", flag.value));
            };
            if !flag.repeats && found.get(flag.long).is_some() {
                return Err(format!("the option --{} is given twice", flag.long));
            }
            found.given.push((flag.long, value));
        }
        Ok(Parsed::Options(found))
    }

    /// The option that a word is, and the value in it.
    pub(crate) fn find<'a>(&self, word: &'a OsStr) -> Option<(&Flag, Option<&'a OsStr>)> {
        let bytes = word.as_bytes();
        let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
            None => (bytes, None),
        };
        let name = std::str::from_utf8(name).ok()?;
        let flag = self.flags().find(|flag| flag.is(name))?;
        (value.is_none() || !flag.value.is_empty()).then_some((flag, value))
    }

    /// The usage, in one line.
    pub fn usage(&self) -> String {
        format!("usage: {} {}", self.name, self.arguments)
    }

    /// The text that `--help` prints.
    pub fn help(&self) -> String {
        let Program { name, about, arguments, operations, text, .. } = self;
        let mut help = format!("{about}\n\nUsage: {name} {arguments}\n       ");
        for operation in *operations {
            let _ = write!(help, "{name} {operation}\n       ");
        }
        let _ = write!(help, "{name} ");
        let alone = self.flags().filter(|flag| !flag.combines);
        let briefly: Vec<String> = alone.map(Flag::briefly).collect();
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

    /// The letter and the name with their hyphens, and the value.
    fn spelled(&self) -> String {
        let value = match self.value {
            "" => String::new(),
            value => format!(" {value}"),
        };
        match (self.short, self.long) {
            ('\0', long) => format!("    --{long}{value}"),
            (short, "") => format!("-{short}{value}"),
            (short, long) => format!("-{short}, --{long}{value}"),
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
        operations: &["--move <path> [--now]"],
        options: &[
            option("move", "<path>", "Move it there"),
            option("now", "", "Do not wait"),
            repeated("also", "<path>", "Move this, too"),
            flag('v', "version", "Print the version"),
            flag('V', "", "Print all settings"),
        ],
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
    fn options_that_combine_are_parsed_to_the_last_word() {
        let options = |words: &[&str]| match read(words) {
            Ok(Parsed::Options(options)) => Ok(options.given),
            other => Err(format!("{other:?}")),
        };
        let both = vec![("move", OsString::from("/a")), ("now", OsString::new())];
        assert_eq!(options(&["--move", "/a", "--now"]), Ok(both));
        let path = |path: &str| Ok(vec![("move", OsString::from(path))]);
        assert_eq!(options(&["--move=--now"]), path("--now"));
        assert_eq!(options(&["--move", "-h"]), path("-h"));
        assert_eq!(options(&["--move="]), path(""));
        assert_eq!(options(&["--move", "/a", "--", "--now", "--"]), path("/a"));
        let twice = vec![("also", OsString::from("/b")), ("also", OsString::from("/c"))];
        assert_eq!(options(&["--also", "/b", "--also=/c"]), Ok(twice));
        let Ok(Parsed::Options(found)) = read(&["--now", "--", "x", "--"]) else { panic!() };
        assert_eq!(found.command(), ["x", "--"]);
        for (wrong, why) in [
            (&["--move"][..], "the option --move needs a value: <path>"),
            (&["--move", "/a", "x"], "x cannot be given with these options"),
            (&["--now", "--help"], "--help cannot be given with these options"),
            (&["--now", "--now=1"], "--now=1 cannot be given with these options"),
            (&["--now", "--now"], "the option --now is given twice"),
        ] {
            assert_eq!(read(wrong), Err(why.to_owned()), "{wrong:?}");
        }
    }

    #[test]
    fn an_option_that_is_not_in_the_table_is_an_error_with_the_usage() {
        for word in ["-x", "--helpx", "-hv", "-", "--=", "--help=1"] {
            let line = format!("unknown option {word}; usage: program [--] <command> [arg...]");
            assert_eq!(read(&[word]), Err(line), "{word}");
        }
    }

    #[test]
    fn the_help_is_made_from_the_table() {
        let help = "\
Does it.

Usage: program [--] <command> [arg...]
       program --move <path> [--now]
       program -h | -v | -V

Options:
  -h, --help         Print help
      --move <path>  Move it there
      --now          Do not wait
      --also <path>  Move this, too
  -v, --version      Print the version
  -V                 Print all settings

The rest.
";
        assert_eq!(PROGRAM.help(), help);
    }
}
