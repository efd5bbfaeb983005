//! The fields of a frame. Nothing is allocated by a length that the bytes name: a list is as long
//! as the bytes that are there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::Invalid;

/// The fields that are not decoded yet.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    /// An error if bytes are left.
    pub(super) fn end(&self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid::Malformed) }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Invalid> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Invalid::Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Invalid> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Invalid> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Invalid::Malformed),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, Invalid> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Invalid> {
        self.array().map(i32::from_le_bytes)
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Invalid> {
        let length = usize::try_from(self.u32()?).map_err(|_| Invalid::Malformed)?;
        let (field, rest) = self.0.split_at_checked(length).ok_or(Invalid::Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    pub(super) fn text(&mut self) -> Result<String, Invalid> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Invalid::Malformed)?;
        Ok(text.to_owned())
    }

    /// Words, each with a NUL behind it.
    pub(super) fn words(&mut self) -> Result<Vec<OsString>, Invalid> {
        let bytes = self.bytes()?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = bytes.strip_suffix(b"\0").ok_or(Invalid::Malformed)?;
        Ok(bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect())
    }
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// Appends words. None of them holds a NUL.
pub(super) fn put_words<'a>(to: &mut Vec<u8>, words: impl Iterator<Item = &'a OsStr>) {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(0);
    }
    put_bytes(to, &bytes);
}
