//! Files that the first pass leaves to the second one.

/// The most names that a thread keeps: 8 bytes each, and once more 16 for each file.
const MAX_NAMES: usize = 1 << 20;

/// The inodes of the files that were deferred, once for each of their names in the tree: those with
/// several names, and those of which a process holds a lease.
#[derive(Default)]
pub(super) struct Deferred(Vec<u64>);

impl Deferred {
    /// Adds a name of a file. False if there are too many.
    pub(super) fn add(&mut self, inode: u64) -> bool {
        let fits = self.0.len() < MAX_NAMES;
        if fits {
            self.0.push(inode);
        }
        fits
    }

    /// Adds what another thread has deferred.
    pub(super) fn append(&mut self, mut other: Deferred) {
        self.0.append(&mut other.0);
    }

    /// The table of all files. None if there are none.
    pub(super) fn table(mut self) -> Option<Table> {
        self.0.sort_unstable();
        let files = self.0.chunk_by(|one, other| one == other).map(|names| File {
            inode: names[0],
            names: u32::try_from(names.len()).unwrap_or(u32::MAX),
            state: State::Pending,
        });
        let files: Vec<File> = files.collect();
        (!files.is_empty()).then_some(Table(files))
    }
}

/// The files that were deferred, in the order of their inodes.
pub(super) struct Table(Vec<File>);

/// A file that was deferred.
#[derive(Clone, Copy)]
pub(super) struct File {
    inode: u64,
    /// How many names it has in the tree.
    pub(super) names: u32,
    /// What has become of it.
    pub(super) state: State,
}

/// What has become of a file that was deferred.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// None of its names was met in the second pass.
    Pending,
    /// It belongs to its new owner.
    Changed,
    /// A copy of it has this number.
    Copied(u32),
}

impl Table {
    /// The file with this inode, if it was deferred.
    pub(super) fn file(&mut self, inode: u64) -> Option<&mut File> {
        let index = self.0.binary_search_by_key(&inode, |file| file.inode).ok()?;
        self.0.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_by_inode() -> anyhow::Result<()> {
        let mut deferred = Deferred::default();
        for inode in [7, 3, 7, 9, 7] {
            assert!(deferred.add(inode));
        }
        let mut table = deferred.table().ok_or_else(|| anyhow::anyhow!("a table"))?;
        let names = [3, 5, 7, 9].map(|inode| table.file(inode).map(|file| file.names));
        assert_eq!(names, [Some(1), None, Some(3), Some(1)]);
        assert!(Deferred::default().table().is_none());
        Ok(())
    }
}
