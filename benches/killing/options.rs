//! The options of the bench.

use super::common::options::{self, Common};

/// What to measure.
pub struct Options {
    pub common: Common,
    /// How many processes the families have.
    pub sizes: Vec<usize>,
}

impl Options {
    /// Reads the words of the command line. An error is one line.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let (common, lists) = options::parse(words, &["--sizes"])?;
        let sizes = match lists.get("--sizes") {
            Some(list) => list
                .split(',')
                .map(|word| options::number("--sizes", word))
                .collect::<Result<_, _>>()?,
            None if common.small => vec![1, 20],
            None => vec![1, 100, 1000],
        };
        Ok(Options { common, sizes })
    }
}
