//! Frames from bytes that are not trusted. [`Frame::decode`] is the only way in.

use sys::{Name, Pid, Time};

use super::{Frame, KEEP_ALIVE, MAX_MARK, MAX_TARGET, MAX_TEXT, Malformed};
use crate::values::{Attributes, Dropped, Hunt, Links, Needs, Totals};

impl<'a> Frame<'a> {
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
            15 => Frame::EndFamily,
            16 => Frame::Directory { name: rest.name()? },
            17 => Frame::File { name: rest.name()?, number: rest.u32()? },
            18 => Frame::Data { offset: rest.u64()?, bytes: rest.all() },
            19 => Frame::Attribute { name: rest.attribute_name()?, value: rest.at_most(65_536)? },
            20 => Frame::Close { size: rest.u64()?, attributes: rest.attributes()? },
            21 => Frame::Symlink {
                name: rest.name()?,
                number: rest.u32()?,
                modified: rest.time()?,
                target: rest.path(MAX_TARGET)?,
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
            29 => Frame::Watch { root: rest.existing_pid()?, mark: rest.path(MAX_MARK)? },
            _ => return Err(Malformed),
        };
        if rest.0.is_empty() { Ok(frame) } else { Err(Malformed) }
    }
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

    fn existing_pid(&mut self) -> Result<Pid, Malformed> {
        Some(self.pid()?).filter(|pid| pid.as_raw() > 0).ok_or(Malformed)
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

    /// A path of at most this length.
    fn path(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let path = self.at_most(length)?;
        if path.is_empty() || path.contains(&0) { Err(Malformed) } else { Ok(path) }
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
