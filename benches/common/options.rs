//! The options that every bench has.

use std::collections::HashMap;
use std::fs::File;

/// How much to measure, and where the samples go.
pub struct Common {
    pub rounds: usize,
    pub small: bool,
    /// Opened before anything is measured, so that a wrong path is known at once.
    pub json: Option<File>,
}

/// The lists that were given for the options which only one bench has.
pub type Lists = HashMap<&'static str, String>;

/// Reads the words of the command line; `own` are the names of the options that only this bench
/// has. An error is one line.
pub fn parse(
    mut words: impl Iterator<Item = String>,
    own: &[&'static str],
) -> Result<(Common, Lists), String> {
    let (mut rounds, mut small, mut json) = (None, false, None);
    let mut lists = Lists::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--rounds" => rounds = Some(number(&word, &value()?)?),
            "--small" => small = true,
            "--json" => {
                let path = value()?;
                json = Some(
                    File::create(&path)
                        .map_err(|error| format!("cannot create {path}: {error}"))?,
                );
            }
            _ => {
                let name = own.iter().find(|name| **name == word);
                let name = name.ok_or_else(|| format!("unknown option {word} (see --help)"))?;
                lists.insert(name, value()?);
            }
        }
    }
    let rounds = rounds.unwrap_or(if small { 1 } else { 7 });
    Ok((Common { rounds, small, json }, lists))
}

/// A number that an option was given.
pub fn number(option: &str, word: &str) -> Result<usize, String> {
    word.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{option} needs a number above 0, not {word}"))
}
