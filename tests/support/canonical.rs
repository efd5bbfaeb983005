//! What must be true for any bytes that [`Frame::decode`] accepts. tests/frames.rs and the fuzz
//! target of the same name check it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use sys::Name;
use wire::Frame;

/// A frame that was accepted is within its bounds and has only this one encoding, so that no two
/// sides can read it differently.
pub fn check(bytes: &[u8], frame: Frame<'_>) {
    let mut again = Vec::with_capacity(4 + bytes.len());
    frame.encode(&mut again);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    assert_eq!(again[..4], length.to_le_bytes(), "the length of {frame:?}");
    assert!(again[4..] == *bytes, "{frame:?} has another encoding");

    // Checked with the standard library's definition of a path, not with the code under test.
    if let Some(name) = name(frame) {
        let name = OsStr::from_bytes(name.bytes());
        assert!(
            Path::new(name).components().eq([Component::Normal(name)]),
            "{name:?} is not a single component"
        );
        assert!(name.len() <= 255 && !name.as_bytes().contains(&0), "{name:?} is no name");
    }
    let (attributes, time) = match frame {
        Frame::Close { attributes, .. }
        | Frame::Up { attributes }
        | Frame::End { attributes, .. } => (Some(attributes), Some(attributes.modified)),
        Frame::Symlink { modified, .. } => (None, Some(modified)),
        _ => (None, None),
    };
    assert!(attributes.is_none_or(|attributes| attributes.mode <= 0o777), "{frame:?}");
    assert!(time.is_none_or(|time| time.nanoseconds < 1_000_000_000), "{frame:?}");
}

/// The name of a directory entry that a frame holds.
fn name(frame: Frame<'_>) -> Option<Name<'_>> {
    match frame {
        Frame::Download { except: name, .. }
        | Frame::PutProxy { name, .. }
        | Frame::Directory { name }
        | Frame::File { name, .. }
        | Frame::Symlink { name, .. }
        | Frame::Link { name, .. }
        | Frame::DroppedLink { name } => Some(name),
        _ => None,
    }
}
