//! The options of a bench.

use std::collections::HashMap;
use std::fs::File;

/// What the command line asks for.
pub struct Options {
    pub rounds: usize,
    pub small: bool,
    /// The file for the samples. It is opened before anything is measured, so that a wrong path
    /// fails at once.
    pub json: Option<File>,
    /// The values of the options that only this bench has.
    own: HashMap<&'static str, String>,
}

impl Options {
    /// Reads the words of the command line; `own` are the names of the options that only this bench
    /// has. Each of them has a value. An error is one line.
    pub fn parse(
        mut words: impl Iterator<Item = String>,
        own: &[&'static str],
    ) -> Result<Options, String> {
        let (mut rounds, mut small, mut json) = (None, false, None);
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => rounds = Some(number(&word, &value()?)?),
                "--small" => small = true,
                "--json" => json = Some(created(&value()?)?),
                _ => {
                    let name = own.iter().find(|name| **name == word);
                    let name = name.ok_or_else(|| format!("unknown option {word} (see --help)"))?;
                    values.insert(*name, value()?);
                }
            }
        }
        let rounds = rounds.unwrap_or(if small { 1 } else { 7 });
        Ok(Options { rounds, small, json, own: values })
    }

    /// The value of an option that only this bench has, as a list with commas; `None` if it was not
    /// given.
    pub fn list(&self, option: &str) -> Option<Vec<&str>> {
        self.own.get(option).map(|list| list.split(',').collect())
    }

    /// Those of `all` whose names are in the value of an option; all of them if it was not given.
    pub fn chosen<T: Copy>(
        &self,
        option: &str,
        all: &[T],
        name_of: impl Fn(T) -> &'static str,
    ) -> Result<Vec<T>, String> {
        let Some(names) = self.list(option) else { return Ok(all.to_vec()) };
        let find = |name| {
            let found = all.iter().copied().find(|item| name_of(*item) == name);
            found.ok_or_else(|| format!("{option} has no {name} (see --help)"))
        };
        names.into_iter().map(find).collect()
    }
}

/// The number that is the value of an option, or an element of it.
pub fn number(option: &str, word: &str) -> Result<usize, String> {
    word.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{option} needs a number above 0, not {word}"))
}

fn created(path: &str) -> Result<File, String> {
    File::create(path).map_err(|error| format!("cannot create {path}: {error}"))
}
