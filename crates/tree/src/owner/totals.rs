//! What a change of owner reports.

use wire::{Dropped, Totals};

/// Files that were copied into a new inode instead of changing their owner, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// A process can still write to the file.
    pub written: u64,
    /// It can't be proved that no process can: the file system has no leases, for example.
    pub unproved: u64,
    /// The file has names outside of the tree.
    pub outer_names: u64,
    /// Group or others may write to the file.
    pub writable: u64,
    /// The file has an attribute that can't be removed.
    pub attributes: u64,
}

impl Copied {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.written + self.unproved + self.outer_names + self.writable + self.attributes
    }

    fn add(&mut self, other: Copied) {
        self.written += other.written;
        self.unproved += other.unproved;
        self.outer_names += other.outer_names;
        self.writable += other.writable;
        self.attributes += other.attributes;
    }
}

/// A tree that was taken back.
#[derive(Debug, Default)]
pub struct Taken {
    /// What it has. `bytes` is the size of the files that were copied.
    pub totals: Totals,
    /// What a copy would have left behind, too, and what is removed.
    pub dropped: Dropped,
    /// The files that were copied.
    pub copied: Copied,
    /// The paths of some of the links that were removed.
    pub removed_links: Vec<String>,
    /// Entries of a third user, which stay as they are.
    pub foreign: u64,
    /// The paths of some of these.
    pub named_foreign: Vec<String>,
}

impl Taken {
    /// Adds what another thread has taken.
    pub(super) fn add(&mut self, other: Taken) {
        self.totals.directories += other.totals.directories;
        self.totals.files += other.totals.files;
        self.totals.symlinks += other.totals.symlinks;
        self.totals.links += other.totals.links;
        self.totals.bytes += other.totals.bytes;
        self.dropped.specials += other.dropped.specials;
        self.dropped.bits += other.dropped.bits;
        self.dropped.attributes += other.dropped.attributes;
        self.copied.add(other.copied);
        self.foreign += other.foreign;
        for path in other.named_foreign {
            super::keep_path(&mut self.named_foreign, path.as_ref());
        }
    }
}
