//! Frames as bytes.

use sys::{Name, Time};

use super::{Frame, KEEP_ALIVE, MAX_TEXT};
use crate::values::{Attributes, Dropped, Hunt, Needs, Totals};

impl Frame<'_> {
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
            | Frame::EndFamily
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
            Frame::Watch { root, mark } => {
                out.extend_from_slice(&root.as_raw().to_le_bytes());
                out.extend_from_slice(mark);
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
            Frame::EndFamily => 15,
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
            Frame::Watch { .. } => 29,
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
