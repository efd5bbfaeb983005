//! The files of the configuration, and whether they are trusted.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use command::accounts;
use error::{Context as _, Error, Result};
use hooks::trust::{self, Owners};
use sys::{Dir, Errno, Kind, Uid};

use super::read::Source;
use crate::trusted;

/// The largest configuration file, in bytes.
const LONGEST: u64 = 1 << 20;

/// The most drop-ins.
const MOST: usize = 1000;

/// The account that may own the configuration file, as many sites have deployed it.
const ACCOUNT: &[u8] = b"glexec";

/// Reads the file and its drop-ins; none if the file does not exist.
pub(super) fn read_all(file: &Path, drop_ins: &Path) -> Result<Option<Vec<Source>>> {
    let Some(first) = read(file)? else { return Ok(None) };
    let mut sources = vec![first];
    let directory = match trust::open_directory(drop_ins, &Owners::ROOT) {
        Err(Error::System { cause: Errno::ENOENT, .. }) => return Ok(Some(sources)),
        opened => opened?,
    };
    for name in names(&directory, drop_ins)? {
        // A file that is removed meanwhile is none of the configuration.
        sources.extend(read(&drop_ins.join(name))?);
    }
    Ok(Some(sources))
}

/// Reads a file; none if it does not exist.
fn read(path: &Path) -> Result<Option<Source>> {
    match open(path) {
        Err(Error::System { cause: Errno::ENOENT, .. }) => Ok(None),
        opened => {
            let text = trusted::content(opened?, path, LONGEST)?;
            Ok(Some(Source { path: path.to_owned(), text }))
        }
    }
}

/// Opens a file that belongs to root, or to the account `glexec` in a directory of root's.
fn open(path: &Path) -> Result<File> {
    let refusal = match trust::open(path, &Owners::ROOT) {
        Err(refusal @ Error::Refused { .. }) => refusal,
        opened => return opened,
    };
    // Only now: for most sites the table of accounts need not be read.
    let Some(account) = accounts::local(ACCOUNT).filter(|_| path.parent().is_some()) else {
        return Err(refusal);
    };
    trust::open_directory(path.parent().unwrap_or(path), &Owners::ROOT)?;
    let file = match trust::open(path, &Owners { users: &[account.user], groups: &[] }) {
        Ok(file) => file,
        Err(_) => return Err(refusal),
    };
    let owner = file.metadata().at("examine", path)?.uid();
    if Uid::from_raw(owner) == account.user { Ok(file) } else { Err(refusal) }
}

/// The names `*.conf` in a directory, except hidden ones, in their order as bytes.
fn names(directory: &Dir, path: &Path) -> Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    directory
        .for_each_entry(|name, kind| {
            let is_drop_in = name.bytes().ends_with(b".conf") && !name.bytes().starts_with(b".");
            if is_drop_in && kind != Some(Kind::Directory) {
                names.push(name.os().to_owned());
            }
            match names.len() <= MOST {
                true => Ok(()),
                false => Err(Error::refused(path, format!("it has more than {MOST} files"))),
            }
        })
        .at("read", path)??;
    names.sort();
    Ok(names)
}
