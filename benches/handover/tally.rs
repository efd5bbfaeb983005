//! What a tree holds, so that a side that loses something does not win.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::support::Account;

/// How many entries that are no directories, and their bytes. A link counts as the file that it
/// leads to, because fs_extra makes one of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    entries: u64,
    bytes: u64,
}

impl Tally {
    /// Counts a tree; fails unless all of it is this account's.
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
