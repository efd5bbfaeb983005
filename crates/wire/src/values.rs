//! The values in frames that describe trees and hunts.

use sys::Time;

/// What is set on a file or directory once its content is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The nine permission bits.
    pub mode: u32,
    /// When the content last changed.
    pub modified: Time,
}

/// What was transferred. Each side counts for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Directories, the top one not counted.
    pub directories: u64,
    /// Regular files; further names of a file are not counted.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names (hard links) of files and symbolic links that are already counted.
    pub links: u64,
    /// Bytes of file content that were sent; holes are not.
    pub bytes: u64,
    /// The length of the files that were passed as descriptors instead.
    pub passed: u64,
    /// Extended attributes.
    pub attributes: u64,
}

/// What a transfer leaves out by design; counted for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Devices, sockets and FIFOs.
    pub specials: u64,
    /// Files and directories that lost set-user-ID, set-group-ID or the sticky bit.
    pub bits: u64,
    /// Access control lists, and other extended attributes outside the namespace `user`.
    pub attributes: u64,
    /// Files and directories of other users that the tree's owner cannot read.
    pub unreadable: u64,
    /// Symbolic links that lead out of the sandbox.
    pub links: u64,
}

/// What a copy of a tree needs on its file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes for directories and for the files that are sent; holes are not counted.
    pub bytes: u64,
    /// Bytes for the files that are large enough to be shared instead (FICLONE, ioctl_ficlone(2)),
    /// where the file system can share.
    pub large: u64,
    /// Files, directories and links.
    pub inodes: u64,
}

/// What cleanup does with symbolic links that lead out of the sandbox. A program that reads the
/// sandbox with the batch user's rights would follow them to any place that the job chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Takes them back unchanged.
    Keep,
    /// Replaces each by a copy of the regular file that it leads to, read with the job user's
    /// rights. Drops it if that is not possible.
    Copy,
    /// Drops them.
    Drop,
}

/// The result of a hunt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hunt {
    /// How many processes ended, or got the signal.
    pub processes: u64,
    /// How often the list of all processes was scanned.
    pub rounds: u64,
    /// How many of the user's processes do not show whether they belong to the family.
    pub unclassified: u64,
    /// How many processes are not in the state that the signal asks for.
    pub left: u64,
    /// How many files, directories and System V IPC objects the account left behind, once it has
    /// no processes.
    pub remains: u64,
    /// How many of these were removed.
    pub removed: u64,
}
