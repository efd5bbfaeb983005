//! The content of a tree, counted: a side that loses files must fail.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::support::Account;

/// The number of entries other than directories, and their bytes. A link counts as the file that it
/// leads to, because fs_extra copies that file in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    entries: u64,
    bytes: u64,
}

impl Tally {
    /// Counts a tree. Fails unless all of it belongs to this account.
    pub fn of(top: &Path, account: Account) -> Tally {
        let mut tally = Tally::default();
        tally.add(top, account);
        tally
    }

    fn add(&mut self, path: &Path, account: Account) {
        let found = fs::symlink_metadata(path).unwrap();
        assert_eq!(
            (found.uid(), found.gid()),
            (account.uid, account.gid),
            "the owner of {}",
            path.display()
        );
        if found.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.add(&entry.unwrap().path(), account);
            }
        } else {
            self.entries += 1;
            self.bytes += fs::metadata(path).unwrap().len();
        }
    }
}
