//! The options of the bench.

use super::common::options::{self, Common};

/// What to measure.
pub struct Options {
    pub common: Common,
    /// How many calls make a sample.
    pub calls: usize,
}

impl Options {
    /// Reads the words of the command line. An error is one line.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let (common, values) = options::parse(words, &["--calls"])?;
        let calls = match values.get("--calls") {
            Some(word) => options::number("--calls", word)?,
            None if common.small => 2,
            None => 50,
        };
        Ok(Options { common, calls })
    }
}
