//! What both sides say of a tree (what its entries get, what was moved, what was left behind, what
//! a copy needs) and of a hunt.

use sys::Time;

/// What a file or directory gets when its content is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The nine permission bits.
    pub mode: u32,
    /// When the content last changed.
    pub modified: Time,
}

/// What was moved, as each side counted it by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Directories, the top one not counted.
    pub directories: u64,
    /// Regular files; further names of the same file are not counted.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files and links counted already.
    pub links: u64,
    /// Bytes of file content that were sent; holes are not.
    pub bytes: u64,
    /// Length of the files that were passed as descriptors instead.
    pub passed: u64,
    /// Extended attributes.
    pub attributes: u64,
}

/// What was left behind, by design; counted for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Devices, sockets and FIFOs.
    pub specials: u64,
    /// Files and directories that lost set-user-id, set-group-id or the sticky bit.
    pub bits: u64,
    /// Access control lists and other attributes that are not the user's.
    pub attributes: u64,
    /// Files and directories of somebody else that the tree's owner can't read.
    pub unreadable: u64,
    /// Symbolic links that leave the sandbox.
    pub links: u64,
}

/// What a tree needs where it is copied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of room for directories and for files that are sent; holes are not counted.
    pub bytes: u64,
    /// Bytes of room for files that are large enough to be shared instead, where the file system
    /// can.
    pub large: u64,
    /// Files, directories and links.
    pub inodes: u64,
}

/// What becomes of symbolic links that leave a sandbox that comes back: whoever reads it with the
/// batch user's rights would follow them to wherever the job likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They come back as they are.
    Keep,
    /// As a copy of the regular file that they lead to, read with the job user's rights; or not at
    /// all.
    Copy,
    /// Not at all.
    Drop,
}

/// What became of the processes that a signal was meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hunt {
    /// The processes that were ended, or that got the signal.
    pub processes: u64,
    /// How often all processes were looked through.
    pub rounds: u64,
    /// Processes of the user that do not tell whether they belong to the family.
    pub untold: u64,
    /// Those that are not as the signal wants them.
    pub left: u64,
    /// What an account without processes had left behind: files and directories, and objects of
    /// System V IPC.
    pub remains: u64,
    /// Of these, what has been removed.
    pub removed: u64,
}
