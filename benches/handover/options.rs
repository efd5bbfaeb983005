//! The options of the bench.

use super::common::options::{self, Common};
use super::file_system::FileSystem;
use super::trees::{TREES, Tree};

/// What to measure.
pub struct Options {
    pub common: Common,
    pub file_systems: Vec<FileSystem>,
    pub trees: Vec<Tree>,
}

impl Options {
    /// Reads the words of the command line. An error is one line.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let (common, lists) = options::parse(words, &["--fs", "--trees"])?;
        let file_systems = chosen(lists.get("--fs"), &FileSystem::ALL, FileSystem::name)?;
        let trees = chosen(lists.get("--trees"), &TREES, |tree| tree.name)?;
        Ok(Options { common, file_systems, trees })
    }
}

/// Those of `all` that have the names in a list with commas; without a list all.
fn chosen<T: Copy>(
    list: Option<&String>,
    all: &[T],
    name_of: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, String> {
    let find = |name| {
        all.iter()
            .copied()
            .find(|item| name_of(*item) == name)
            .ok_or_else(|| format!("no such {name}"))
    };
    list.map_or_else(|| Ok(all.to_vec()), |list| list.split(',').map(find).collect())
}
