//! Copying a tree of one user: both ends of a transfer in one process.

use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, OwnedName, socket};
use wire::{Attributes, Channel, Dropped, Halt, Links, Totals};

use super::{Builder, Place, Progress, Transfer, remove, send};

/// Copies the tree below `from` to a directory with a temporary name at `place`, unless `halt` ends
/// it early. `complete` adds further entries to the top of the copy before that gets its
/// attributes. The top's mode is 0700. Returns the name, what was copied and what was left behind;
/// after a failure no copy is left.
pub fn copy(
    (from, transfer): (&Path, Transfer),
    place: &Place,
    halt: Option<Halt>,
    progress: Progress<'_>,
    complete: impl FnOnce(&Dir, &Path) -> Result<()>,
) -> Result<(OwnedName, (Totals, Dropped))> {
    let top = Dir::open(from).at("open the directory", from)?;
    let (one, other) = socket::socketpair().at("make a socket pair to copy", from)?;
    let device = place.device()?;
    let (name, to) = place.create_dir()?;
    // A pilot that looks for what a killed one has left sees that this one is alive, where the file
    // system has locks.
    let _lock = to.lock();
    let path = place.path_of(name.name());
    let sending = move || {
        let mut channel = Channel::new(one);
        send(top, from.as_os_str(), None, (transfer, device), &mut channel, &mut |_| ())
    };
    let building = || {
        let mut channel = Channel::new(other);
        channel.accept_passed(true);
        channel.set_halt(halt);
        let mut builder = Builder::new(to, place, name.name(), Links::Keep)?;
        let built = builder.receive(&mut channel, progress)?;
        complete(builder.top()?, &path)?;
        let closed = Attributes { mode: 0o700, ..built.attributes };
        builder.finish(closed).map(|()| (built.totals, built.dropped))
    };
    let copied = std::thread::scope(|scope| {
        let sender = std::thread::Builder::new()
            .spawn_scoped(scope, sending)
            .at("start a thread to copy", from)?;
        let built = building();
        match sender.join() {
            // A connection that broke only tells that the other end has failed.
            Ok(Err(error)) if !matches!(error, Error::Connection { .. }) => Err(error),
            _ => built,
        }
    });
    match copied {
        Ok(copied) => Ok((name, copied)),
        Err(error) => Err(error.and_then(remove(&place.parent, name.name(), &place.path))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_copy_is_closed_to_others_at_every_moment() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir(&from)?;
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o755))?;
        let mode =
            |path: &Path| std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
        let mut while_copied = 0;
        let (name, _) =
            copy((&from, Transfer::Copy), &Place::find(&to)?, None, &mut |_| (), |_, path| {
                while_copied = mode(path).unwrap_or(0);
                Ok(())
            })?;
        assert_eq!((while_copied, mode(&directory.path().join(name.name().os()))?), (0o700, 0o700));
        Ok(())
    }

    #[test]
    fn after_a_failure_nothing_is_left() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir(&from)?;
        let failed =
            copy((&from, Transfer::Copy), &Place::find(&to)?, None, &mut |_| (), |_, path| {
                Err(Error::refused(path, "no"))
            });
        assert!(failed.is_err_and(|error| error.to_string().ends_with(": no")));
        assert_eq!(std::fs::read_dir(directory.path())?.count(), 1);
        Ok(())
    }
}
