//! The files of a group's directory. Each read and write is one system call, as the kernel asks
//! for.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use error::{Context as _, Result};

/// The words of a file; none if it is missing, as that of a controller that the group does not
/// have.
pub(crate) fn words(directory: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The number in a file; none if there is none, and for `max`.
pub(crate) fn number(directory: &Path, name: &str) -> Option<u64> {
    words(directory, name).first()?.parse().ok()
}

/// The number behind a word in a file of lines.
pub(crate) fn number_of(directory: &Path, name: &str, word: &str) -> Option<u64> {
    find(&words(directory, name), word)
}

/// The sum of the numbers behind a prefix of the words in a file; none if there is none.
pub(crate) fn sum_of(directory: &Path, name: &str, prefix: &str) -> Option<u64> {
    sum(&words(directory, name), prefix)
}

fn sum(words: &[String], prefix: &str) -> Option<u64> {
    let mut numbers = words.iter().filter_map(|word| word.strip_prefix(prefix)?.parse().ok());
    let first: u64 = numbers.next()?;
    Some(numbers.fold(first, u64::saturating_add))
}

fn find(words: &[String], word: &str) -> Option<u64> {
    let at = words.iter().position(|found| found == word)?;
    words.get(at + 1)?.parse().ok()
}

/// Writes to a file that exists.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    let opened = File::options().write(true).open(&path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| sys::errno(&error)).at("write to", &path)
}

#[cfg(test)]
mod tests {
    use super::{find, sum};

    #[test]
    fn the_numbers_of_all_devices_are_added() {
        let text = "8:16 rbytes=1 wbytes=314 rios=1\n8:0 rbytes=9 wbytes=10 rios=3\n";
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        assert_eq!(sum(&words, "wbytes="), Some(324));
        assert_eq!(sum(&words, "dbytes="), None);
    }

    #[test]
    fn a_number_is_found_by_the_word_before_it() {
        let text = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        assert_eq!(find(&words, "oom_kill"), Some(2));
        assert_eq!(find(&words, "max"), Some(12));
        assert_eq!((find(&words, "usage_usec"), find(&words, "1")), (None, None));
    }
}
