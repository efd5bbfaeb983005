//! The messages between a helper and its agent.
//!
//! The bytes of a frame are its length (4 bytes), its kind (1 byte) and its fields. Integers are
//! little-endian. A name is preceded by its length (1 byte). The last field of a frame may extend
//! to its end. Decoding allocates nothing, and accepts only names that [`Name`] accepts and values
//! within the bounds given here.

use sys::{Name, Pid, Time};

use super::values::{Attributes, Dropped, Hunt, Links, Needs, Totals};

/// The version of the protocol. Both ends must have the same: helper and agent are installed
/// together.
pub const VERSION: u16 = 3;

/// The largest part of a file in one frame, in bytes.
pub const CHUNK: usize = 256 * 1024;

/// The longest frame, without its length field: a chunk with its kind and offset, or an attribute
/// with its name.
pub const MAX_LENGTH: usize = CHUNK + 512;

/// The longest text in a frame, in bytes.
const MAX_TEXT: usize = 2048;

/// The kind of [`Frame::KeepAlive`], which the receiver skips.
pub(crate) const KEEP_ALIVE: u8 = 12;

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

impl<'a> Frame<'a> {
    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind());
        match *self {
            Frame::Hello { version } => out.extend_from_slice(&version.to_le_bytes()),
            Frame::Upload
            | Frame::Measure
            | Frame::Publish
            | Frame::Retire
            | Frame::Delete
            | Frame::Sweep
            | Frame::Done
            | Frame::KeepAlive
            | Frame::Taken => {}
            Frame::Download { links, except } => {
                out.push(links as u8);
                put_name(out, except);
            }
            Frame::Needed { needs: Needs { bytes, large, inodes } } => {
                put_numbers(out, &[bytes, large, inodes])
            }
            Frame::Content { size } => put_numbers(out, &[size]),
            Frame::Directory { name } | Frame::DroppedLink { name } => put_name(out, name),
            Frame::PutProxy { name, content } => {
                put_name(out, name);
                out.extend_from_slice(content);
            }
            Frame::Failed { text } | Frame::Remains { text } => put_text(out, text),
            Frame::Survivor { pid, text } => {
                out.extend_from_slice(&pid.as_raw().to_le_bytes());
                put_text(out, text);
            }
            Frame::Hunted {
                hunt: Hunt { processes, rounds, unclassified, left, remains, removed },
            } => {
                put_numbers(out, &[processes, rounds, unclassified, left, remains, removed]);
            }
            Frame::File { name, number } | Frame::Link { name, number } => {
                put_name(out, name);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Frame::Data { offset, bytes } => {
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Frame::Attribute { name, value } => {
                out.push(u8::try_from(name.len()).unwrap_or(0));
                out.extend_from_slice(name);
                out.extend_from_slice(value);
            }
            Frame::Close { size, attributes } => {
                out.extend_from_slice(&size.to_le_bytes());
                put_attributes(out, attributes);
            }
            Frame::Symlink { name, number, modified, target } => {
                put_name(out, name);
                out.extend_from_slice(&number.to_le_bytes());
                put_time(out, modified);
                out.extend_from_slice(target);
            }
            Frame::Up { attributes } => put_attributes(out, attributes),
            Frame::End { attributes, totals, dropped } => {
                put_attributes(out, attributes);
                let Totals { directories, files, symlinks, links, bytes, passed, attributes } =
                    totals;
                put_numbers(out, &[directories, files, symlinks, links, bytes, passed, attributes]);
                let Dropped { specials, bits, attributes, unreadable, links } = dropped;
                put_numbers(out, &[specials, bits, attributes, unreadable, links]);
            }
        }
        put_length(out, start);
    }

    /// Appends a `Data` frame. `read` fills the content in, at most `length` bytes, and returns how
    /// many. Nothing is appended if it fails or returns 0.
    pub(crate) fn encode_data<E>(
        out: &mut Vec<u8>,
        offset: u64,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let start = out.len();
        Frame::Data { offset, bytes: &[] }.encode(out);
        let content = out.len();
        out.resize(content + length, 0);
        let read = read(&mut out[content..]);
        match read {
            Ok(read @ 1..) => {
                out.truncate(content + read);
                put_length(out, start);
            }
            _ => out.truncate(start),
        }
        read
    }

    /// Decodes a frame from its bytes without the length field. Surplus bytes are an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = Fields(bytes);
        let frame = match rest.byte()? {
            0 => Frame::Hello { version: rest.u16()? },
            1 => Frame::Upload,
            2 => Frame::Download { links: rest.links()?, except: rest.name()? },
            3 => Frame::Publish,
            4 => Frame::Retire,
            5 => Frame::Delete,
            6 => Frame::PutProxy { name: rest.name()?, content: rest.all() },
            7 => Frame::Done,
            8 => Frame::Failed { text: rest.at_most(MAX_TEXT)? },
            9 => Frame::Sweep,
            10 => Frame::Measure,
            11 => Frame::Needed {
                needs: Needs { bytes: rest.u64()?, large: rest.u64()?, inodes: rest.u64()? },
            },
            KEEP_ALIVE => Frame::KeepAlive,
            13 => Frame::Taken,
            14 => Frame::Hunted { hunt: rest.hunt()? },
            16 => Frame::Directory { name: rest.name()? },
            17 => Frame::File { name: rest.name()?, number: rest.u32()? },
            18 => Frame::Data { offset: rest.u64()?, bytes: rest.all() },
            19 => Frame::Attribute { name: rest.attribute_name()?, value: rest.at_most(65_536)? },
            20 => Frame::Close { size: rest.u64()?, attributes: rest.attributes()? },
            21 => Frame::Symlink {
                name: rest.name()?,
                number: rest.u32()?,
                modified: rest.time()?,
                target: rest.target()?,
            },
            22 => Frame::Link { name: rest.name()?, number: rest.u32()? },
            23 => Frame::Up { attributes: rest.attributes()? },
            24 => Frame::End {
                attributes: rest.attributes()?,
                totals: rest.totals()?,
                dropped: rest.dropped()?,
            },
            25 => Frame::Content { size: rest.u64()? },
            26 => Frame::DroppedLink { name: rest.name()? },
            27 => Frame::Survivor { pid: rest.pid()?, text: rest.at_most(MAX_TEXT)? },
            28 => Frame::Remains { text: rest.at_most(MAX_TEXT)? },
            _ => return Err(Malformed),
        };
        if rest.0.is_empty() { Ok(frame) } else { Err(Malformed) }
    }

    /// The byte that stands for the kind.
    fn kind(&self) -> u8 {
        match self {
            Frame::Hello { .. } => 0,
            Frame::Upload => 1,
            Frame::Download { .. } => 2,
            Frame::Publish => 3,
            Frame::Retire => 4,
            Frame::Delete => 5,
            Frame::PutProxy { .. } => 6,
            Frame::Done => 7,
            Frame::Failed { .. } => 8,
            Frame::Sweep => 9,
            Frame::Measure => 10,
            Frame::Needed { .. } => 11,
            Frame::KeepAlive => KEEP_ALIVE,
            Frame::Taken => 13,
            Frame::Hunted { .. } => 14,
            Frame::Directory { .. } => 16,
            Frame::File { .. } => 17,
            Frame::Data { .. } => 18,
            Frame::Attribute { .. } => 19,
            Frame::Close { .. } => 20,
            Frame::Symlink { .. } => 21,
            Frame::Link { .. } => 22,
            Frame::Up { .. } => 23,
            Frame::End { .. } => 24,
            Frame::Content { .. } => 25,
            Frame::DroppedLink { .. } => 26,
            Frame::Survivor { .. } => 27,
            Frame::Remains { .. } => 28,
        }
    }
}

/// Sets the length field of the frame that begins at `start`.
fn put_length(out: &mut [u8], start: usize) {
    // No valid frame is longer than MAX_LENGTH, which fits. The receiver refuses a longer one.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_name(out: &mut Vec<u8>, name: Name<'_>) {
    // A name has at most 255 bytes.
    out.push(name.bytes().len() as u8);
    out.extend_from_slice(name.bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&text[..text.len().min(MAX_TEXT)]);
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    out.extend_from_slice(&time.seconds.to_le_bytes());
    out.extend_from_slice(&time.nanoseconds.to_le_bytes());
}

fn put_attributes(out: &mut Vec<u8>, attributes: Attributes) {
    out.extend_from_slice(&attributes.mode.to_le_bytes());
    put_time(out, attributes.modified);
}

/// The fields of a frame that are not decoded yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// 0 stands for processes that the agent could not find in time.
    fn pid(&mut self) -> Result<Pid, Malformed> {
        match i32::from_le_bytes(self.array()?) {
            ..0 => Err(Malformed),
            pid => Ok(Pid::from_raw(pid)),
        }
    }

    fn name(&mut self) -> Result<Name<'a>, Malformed> {
        let length = usize::from(self.byte()?);
        Name::new(self.take(length)?).ok_or(Malformed)
    }

    /// Only attributes of the namespace `user` are accepted: no access control lists, capabilities
    /// or security labels (xattr(7)).
    fn attribute_name(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.byte()?);
        let name = self.take(length)?;
        if name.starts_with(b"user.") && !name.contains(&0) { Ok(name) } else { Err(Malformed) }
    }

    fn target(&mut self) -> Result<&'a [u8], Malformed> {
        let target = self.at_most(MAX_TARGET)?;
        if target.is_empty() || target.contains(&0) { Err(Malformed) } else { Ok(target) }
    }

    fn time(&mut self) -> Result<Time, Malformed> {
        let time = Time { seconds: i64::from_le_bytes(self.array()?), nanoseconds: self.u32()? };
        if time.nanoseconds < 1_000_000_000 { Ok(time) } else { Err(Malformed) }
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let attributes = Attributes { mode: self.u32()?, modified: self.time()? };
        if attributes.mode <= 0o777 { Ok(attributes) } else { Err(Malformed) }
    }

    fn totals(&mut self) -> Result<Totals, Malformed> {
        Ok(Totals {
            directories: self.u64()?,
            files: self.u64()?,
            symlinks: self.u64()?,
            links: self.u64()?,
            bytes: self.u64()?,
            passed: self.u64()?,
            attributes: self.u64()?,
        })
    }

    fn dropped(&mut self) -> Result<Dropped, Malformed> {
        Ok(Dropped {
            specials: self.u64()?,
            bits: self.u64()?,
            attributes: self.u64()?,
            unreadable: self.u64()?,
            links: self.u64()?,
        })
    }

    fn hunt(&mut self) -> Result<Hunt, Malformed> {
        Ok(Hunt {
            processes: self.u64()?,
            rounds: self.u64()?,
            unclassified: self.u64()?,
            left: self.u64()?,
            remains: self.u64()?,
            removed: self.u64()?,
        })
    }

    fn links(&mut self) -> Result<Links, Malformed> {
        let policies = [Links::Keep, Links::Copy, Links::Drop];
        policies.get(usize::from(self.byte()?)).copied().ok_or(Malformed)
    }

    fn at_most(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        if self.0.len() <= length { Ok(self.all()) } else { Err(Malformed) }
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

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
