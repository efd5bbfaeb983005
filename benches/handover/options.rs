//! The options of the bench.

use std::fs::File;

use super::file_system::FileSystem;
use super::trees::{TREES, Tree};

/// What to measure, and where the samples go.
pub struct Options {
    pub rounds: usize,
    pub file_systems: Vec<FileSystem>,
    pub trees: Vec<Tree>,
    pub small: bool,
    /// Opened before anything is measured, so that a wrong path is known at once.
    pub json: Option<File>,
}

impl Options {
    /// Reads the words of the command line. An error is one line.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut rounds, mut json, mut small) = (None, None, false);
        let (mut file_systems, mut trees) = (FileSystem::ALL.to_vec(), TREES.to_vec());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => rounds = Some(number(&value()?)?),
                "--fs" => file_systems = chosen(&value()?, &FileSystem::ALL, FileSystem::name)?,
                "--trees" => trees = chosen(&value()?, &TREES, |tree| tree.name)?,
                "--small" => small = true,
                "--json" => {
                    let path = value()?;
                    json = Some(File::create(&path).map_err(|error| format!("cannot create {path}: {error}"))?);
                }
                _ => return Err(format!("unknown option {word} (see --help)")),
            }
        }
        let rounds = rounds.unwrap_or(if small { 1 } else { 7 });
        Ok(Options { rounds, file_systems, trees, small, json })
    }
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("--rounds needs a number above 0, not {word}"))
}

/// Those of `all` that have the names in a list with commas.
fn chosen<T: Copy>(list: &str, all: &[T], name_of: impl Fn(T) -> &'static str) -> Result<Vec<T>, String> {
    let find = |name| all.iter().copied().find(|item| name_of(*item) == name).ok_or_else(|| format!("no such {name}"));
    list.split(',').map(find).collect()
}
