//! The messages between a helper and its agent.
//!
//! The bytes of a frame are its length (4 bytes), its kind (1 byte) and its fields. Integers are
//! little-endian. A name is preceded by its length (1 byte). The last field of a frame may extend
//! to its end. Decoding allocates nothing, and accepts only names that [`Name`] accepts and values
//! within the bounds given here.

mod decode;
mod encode;

use sys::{Name, Pid, Time};

use super::values::{Attributes, Dropped, Hunt, Links, Needs, Totals};

/// The version of the protocol. Both ends must have the same: helper and agent are installed
/// together.
pub const VERSION: u16 = 4;

/// The largest part of a file in one frame, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// The longest frame, without its length field: a chunk with its kind and offset, or an attribute
/// with its name.
pub const MAX_LENGTH: usize = CHUNK + 512;

/// The longest text in a frame, in bytes.
const MAX_TEXT: usize = 2048;

/// The kind of [`Frame::KeepAlive`], which the receiver skips.
pub(crate) const KEEP_ALIVE: u8 = 12;

/// The longest mark of a family, in bytes: the path of a directory (PATH_MAX, limits.h(0p)).
const MAX_MARK: usize = 4096;

/// The longest target of a symbolic link, in bytes (PATH_MAX, limits.h(0p)).
const MAX_TARGET: usize = 4096;

/// One message. The helper sends requests, which the agent answers. The side that has the tree
/// sends it as records.
#[allow(missing_docs)] // the lines of the variants name the fields
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Agent: the first frame, with the version of the protocol. The kernel adds which process
    /// sends it.
    Hello { version: u16 },
    /// Helper: build a copy of the tree whose records follow.
    Upload,
    /// Helper: report what a copy of the sandbox needs.
    Measure,
    /// Helper: send the sandbox, without the top-level entry of this name.
    Download { links: Links, except: Name<'a> },
    /// Helper: rename the copy to the sandbox's name.
    Publish,
    /// Helper: rename what has the sandbox's name to a temporary name.
    Retire,
    /// Helper: delete what has the temporary name.
    Delete,
    /// Helper: replace the proxy of this name in the sandbox.
    PutProxy { name: Name<'a>, content: &'a [u8] },
    /// Helper: delete what earlier agents left beside the sandbox.
    Sweep,
    /// Helper: from now on, kill the family with this mark, whose first process is `root`, when the
    /// connection ends.
    Watch { root: Pid, mark: &'a [u8] },
    /// Helper: kill the family that is watched, and report the result. It is not watched any more.
    EndFamily,
    /// Agent: the request succeeded.
    Done,
    /// Agent: what a copy of the sandbox needs.
    Needed { needs: Needs },
    /// Agent: a process that is not in the state that the signal asks for, and why. Only some of
    /// many are reported.
    Survivor { pid: Pid, text: &'a [u8] },
    /// Agent: a file or System V IPC object that the account left behind. Only some of many are
    /// reported.
    Remains { text: &'a [u8] },
    /// Agent: the result of the hunt, which is over.
    Hunted { hunt: Hunt },
    /// Either side: still at work. Not an answer.
    KeepAlive,
    /// Either side: failed, and why. The last frame of its sender.
    Failed { text: &'a [u8] },

    /// Record: a directory begins; its entries follow, up to its `Up`.
    Directory { name: Name<'a> },
    /// Record: a file begins. A file with further names has a number above 0, to which `Link`
    /// refers.
    File { name: Name<'a>, number: u32 },
    /// Record: content of the current file. What is not sent is a hole.
    Data { offset: u64, bytes: &'a [u8] },
    /// Record: the current file's content is that of the descriptor passed with this frame, up to
    /// this length. The receiver answers with `Taken`, so that at most one descriptor is in flight:
    /// the kernel limits their number (ETOOMANYREFS, sendmsg(2)).
    Content { size: u64 },
    /// Receiver of records: it has the descriptor's content.
    Taken,
    /// Record: an extended attribute of the current file; where there is none, of the directory.
    Attribute { name: &'a [u8], value: &'a [u8] },
    /// Record: the current file is complete, and has this size.
    Close { size: u64, attributes: Attributes },
    /// Record: a symbolic link; the number as of `File`.
    Symlink { name: Name<'a>, number: u32, modified: Time, target: &'a [u8] },
    /// Record: a further name (hard link) of an earlier file or symbolic link.
    Link { name: Name<'a>, number: u32 },
    /// Record: a symbolic link of this name was dropped, because it leads out of the sandbox.
    DroppedLink { name: Name<'a> },
    /// Record: the current directory is complete.
    Up { attributes: Attributes },
    /// Record: the tree is complete. The attributes are those of its top directory. The receiver
    /// cannot verify what was dropped.
    End { attributes: Attributes, totals: Totals, dropped: Dropped },
}

/// Bytes that are not a valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Name<'_> {
        Name::new(bytes).unwrap_or_else(|| panic!("{bytes:?}"))
    }

    fn bytes_of(frame: Frame<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        frame.encode(&mut out);
        out
    }

    #[test]
    fn every_frame_arrives_as_it_was_sent() {
        let modified = Time { seconds: -1, nanoseconds: 999_999_999 };
        let attributes = Attributes { mode: 0o640, modified };
        let totals = Totals {
            directories: 1,
            files: 2,
            symlinks: 3,
            links: 4,
            bytes: 1 << 40,
            passed: 8,
            attributes: 5,
        };
        let dropped = Dropped { specials: 6, bits: 7, attributes: 8, unreadable: 9, links: 10 };
        let frames = [
            Frame::Hello { version: VERSION },
            Frame::Upload,
            Frame::Download { links: Links::Drop, except: name(b"x509\xff") },
            Frame::Measure,
            Frame::Needed { needs: Needs { bytes: 1, large: 1 << 50, inodes: 3 } },
            Frame::KeepAlive,
            Frame::Taken,
            Frame::Content { size: 1 << 60 },
            Frame::DroppedLink { name: name(b"gone") },
            Frame::Survivor { pid: Pid::from_raw(1 << 22), text: b"cat: state D" },
            Frame::Remains { text: b"/tmp/x" },
            Frame::Hunted {
                hunt: Hunt {
                    processes: 1,
                    rounds: 2,
                    unclassified: 6,
                    left: 3,
                    remains: 4,
                    removed: 5,
                },
            },
            Frame::Publish,
            Frame::Retire,
            Frame::Delete,
            Frame::Sweep,
            Frame::Watch { root: Pid::from_raw(1 << 22), mark: b"/execute/dir_1.condor" },
            Frame::EndFamily,
            Frame::PutProxy { name: name(b"p"), content: b"\0\xff" },
            Frame::Done,
            Frame::Failed { text: b"why" },
            Frame::Directory { name: name(&[b'd'; 255]) },
            Frame::File { name: name(b"-f\n"), number: 7 },
            Frame::Data { offset: 1 << 33, bytes: b"content" },
            Frame::Attribute { name: b"user.a", value: b"" },
            Frame::Close { size: 9, attributes },
            Frame::Symlink { name: name(b"l"), number: 0, modified, target: b"../\xff" },
            Frame::Link { name: name(b"m"), number: 7 },
            Frame::Up { attributes },
            Frame::End { attributes, totals, dropped },
        ];
        for frame in frames {
            let bytes = bytes_of(frame);
            assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap_or(0).to_le_bytes());
            assert_eq!(Frame::decode(&bytes[4..]), Ok(frame));
            for cut in 5..bytes.len() {
                // A shorter frame is refused, or is another valid one, where the last field has no
                // fixed length.
                let _ = Frame::decode(&bytes[4..cut]);
            }
        }
    }

    #[test]
    fn names_that_are_not_one_component_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0"] {
            let mut bytes = vec![16, u8::try_from(bad.len()).unwrap_or(0)];
            bytes.extend_from_slice(bad);
            assert_eq!(Frame::decode(&bytes), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        let attributes = Attributes { mode: 0o4755, modified: Time { seconds: 0, nanoseconds: 0 } };
        let late = Time { seconds: 0, nanoseconds: 1_000_000_000 };
        let long = vec![b'x'; MAX_TARGET + 1];
        for frame in [
            Frame::Watch { root: Pid::from_raw(0), mark: b"/m" },
            Frame::Watch { root: Pid::from_raw(1), mark: b"" },
            Frame::Watch { root: Pid::from_raw(1), mark: b"/\0" },
            Frame::Watch { root: Pid::from_raw(1), mark: &[b'/'; MAX_MARK + 1] },
            Frame::Up { attributes },
            Frame::Up { attributes: Attributes { mode: 0, modified: late } },
            Frame::Attribute { name: b"security.capability", value: b"x" },
            Frame::Symlink {
                name: name(b"l"),
                number: 0,
                modified: attributes.modified,
                target: &long,
            },
            Frame::Symlink {
                name: name(b"l"),
                number: 0,
                modified: attributes.modified,
                target: b"",
            },
        ] {
            assert_eq!(Frame::decode(&bytes_of(frame)[4..]), Err(Malformed), "{frame:?}");
        }
    }

    #[test]
    fn trailing_bytes_and_unknown_kinds_are_refused() {
        for bytes in [&[][..], &[1, 0], &[255], &[7, 7]] {
            assert_eq!(Frame::decode(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
