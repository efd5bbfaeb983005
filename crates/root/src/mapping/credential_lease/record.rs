//! What the file of an account says about its lease to a credential.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use command::location::Location;
use sys::Uid;

/// The first field: what this is, and in which version.
const MAGIC: &[u8] = b"glexec-lease 1";

/// The most that is read: a path has at most 4095 bytes, and is there twice.
const LONGEST: u64 = 1 << 16;

/// Whose lease it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The name of the machine: another one that mounts gridmapdir cannot see the credential.
    pub(super) host: Vec<u8>,
    /// The user that called.
    pub(super) caller: Uid,
    /// Where the credential is.
    pub(super) credential: Location,
}

impl Record {
    /// Whether both are about one credential of one caller.
    pub(super) fn is_same(&self, other: &Record) -> bool {
        let key = |record: &Record| (record.host.clone(), record.caller);
        key(self) == key(other) && self.credential.place == other.credential.place
    }

    /// Writes it to the file of an account that is free.
    pub(super) fn write(&self, mut file: &File) -> std::io::Result<()> {
        let caller = self.caller.to_string();
        let Location { path, place } = &self.credential;
        let path = path.as_os_str().as_bytes();
        let fields: [&[u8]; 5] = [MAGIC, &self.host, caller.as_bytes(), place, path];
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&fields.join(&0))
    }

    /// Reads what [`Record::write`] has written; none if it is damaged, as after a power failure.
    pub(super) fn read(mut file: &File) -> std::io::Result<Option<Record>> {
        let mut content = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(LONGEST).read_to_end(&mut content)?;
        Ok(parse(&content))
    }
}

fn parse(content: &[u8]) -> Option<Record> {
    let fields: Vec<&[u8]> = content.split(|byte| *byte == 0).collect();
    let [MAGIC, host, caller, place, path] = fields[..] else { return None };
    let caller = std::str::from_utf8(caller).ok()?.parse().ok().map(Uid::from_raw)?;
    let path = PathBuf::from(OsStr::from_bytes(path));
    let credential = Location { path, place: place.to_vec() };
    Some(Record { host: host.to_vec(), caller, credential })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Location, Record, Uid};

    #[test]
    fn a_record_is_the_same_after_the_file_and_damage_is_seen() {
        let file = tempfile::tempfile().unwrap();
        let path = "/a b/\n\u{e9}".into();
        let credential = Location { path, place: b"8:1 /a b".to_vec() };
        let record = Record { host: b"node".to_vec(), caller: Uid::from_raw(5), credential };
        assert_eq!(Record::read(&file).unwrap(), None);
        for _ in 0..2 {
            record.write(&file).unwrap();
            assert_eq!(Record::read(&file).unwrap(), Some(record.clone()));
        }
        for damaged in [0, 5, 20] {
            file.set_len(damaged).unwrap();
            assert_eq!(Record::read(&file).unwrap(), None, "{damaged}");
        }
        file.set_len(1 << 20).unwrap();
        assert_eq!(Record::read(&file).unwrap(), None);
    }
}
