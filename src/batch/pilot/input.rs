//! A survey of the input before anything is done: how much it is, and what of it cannot be in a
//! sandbox.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name};
use tree::links::{self, Verdict};
use tree::{Names, Walk};
use wire::Totals;

/// How many paths of symbolic links are kept.
const MAX_NAMED: usize = 20;

/// What an input contains.
#[derive(Debug, Default)]
pub struct Survey {
    /// How much it is. A file with several hard links counts several times.
    pub totals: Totals,
    /// How many symbolic links lead out of the input, and from the sandbox to nothing.
    pub dangling: u64,
    /// The paths of some of them.
    pub named: Vec<String>,
}

/// Walks the input, which is copied into the sandbox at this path. Nothing is changed. An entry
/// that the caller cannot read is an error.
pub fn survey(input: &Path, sandbox: &Path) -> Result<Survey> {
    let mut walk = Walk::new(Dir::open(input).at("open the input", input)?, input);
    let mut survey = Survey::default();
    let mut unvisited = vec![survey.directory(&walk, sandbox)?];
    while let Some(here) = unvisited.last_mut() {
        let Some(name) = here.last() else {
            unvisited.pop();
            walk.leave()?;
            continue;
        };
        walk.check_depth()?;
        let opened = walk.current()?.open_dir(name);
        let dir = match opened {
            Err(Errno::EACCES) => return Err(unreadable(&walk.path_of(name))),
            Err(Errno::EXDEV) => {
                return Err(Error::refused(
                    walk.path_of(name),
                    "something is mounted on it: it cannot be copied",
                ));
            }
            opened => opened.at_entry("open", || walk.path_of(name))?,
        };
        walk.enter(name, dir)?;
        here.pop();
        survey.totals.directories += 1;
        unvisited.push(survey.directory(&walk, sandbox)?);
    }
    Ok(survey)
}

impl Survey {
    /// Counts the entries of the directory that the walk has reached; returns the subdirectories.
    fn directory(&mut self, walk: &Walk, sandbox: &Path) -> Result<Names> {
        let here = walk.current()?;
        let mut subdirectories = Names::default();
        let listed = here.for_each_entry(|name, _| {
            let stat = match here.stat(name) {
                Err(Errno::ENOENT) => return Ok(()),
                // The directory can be listed, but not searched.
                Err(Errno::EACCES) => return Err(unreadable(walk.path())),
                stat => stat.at_entry("examine", || walk.path_of(name))?,
            };
            match stat.kind() {
                Kind::Directory => subdirectories.push(name),
                Kind::Symlink => self.link(walk, name, sandbox)?,
                Kind::File if here.may_read(name) => {
                    self.totals.files += 1;
                    self.totals.bytes = self.totals.bytes.saturating_add(stat.size());
                }
                Kind::File => return Err(unreadable(&walk.path_of(name))),
                Kind::Special => {}
            }
            Ok(())
        });
        match listed {
            // It can be searched, but not listed.
            Err(Errno::EBADF) => Err(unreadable(walk.path())),
            listed => listed.at("read the directory", walk.path())?.map(|()| subdirectories),
        }
    }

    fn link(&mut self, walk: &Walk, name: Name<'_>, sandbox: &Path) -> Result<()> {
        let target =
            walk.current()?.read_link(name).at_entry("read the link", || walk.path_of(name))?;
        self.totals.symlinks += 1;
        if links::judge(&target, walk.depth()) != Verdict::Leaves {
            return Ok(());
        }
        let Some(place) = walk.below_top(name) else { return Ok(()) };
        let target = resolve(
            &sandbox.join(OsStr::from_bytes(&place)),
            Path::new(OsStr::from_bytes(&target)),
        );
        if std::fs::metadata(&target)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            self.dangling += 1;
            if self.named.len() < MAX_NAMED {
                self.named.push(Shown(&place).to_string());
            }
        }
        Ok(())
    }
}

/// The path that a link at this path leads to, as far as names alone tell.
fn resolve(link: &Path, target: &Path) -> PathBuf {
    let mut path = link.parent().unwrap_or(link).to_path_buf();
    for component in target.components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            // An absolute target replaces the path.
            other => path.push(other),
        }
    }
    path
}

fn unreadable(path: &OsStr) -> Error {
    Error::refused(path, "you may not read it: run chmod u+rX on it, or remove it from the input")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_resolved_from_the_directory_of_the_link() {
        for (target, leads_to) in [
            ("/etc/x", "/etc/x"),
            ("../../up", "/v/up"),
            ("./../s2", "/v/s/s2"),
            ("a/./b", "/v/s/d/a/b"),
        ] {
            assert_eq!(
                resolve(Path::new("/v/s/d/link"), Path::new(target)),
                Path::new(leads_to),
                "{target}"
            );
        }
    }
}
