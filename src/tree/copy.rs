//! Copying a tree of one user's own: both ends of a transfer in one process.

use std::path::Path;

use super::beside::Place;
use super::{Builder, Progress, Way, remove, send};
use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, OwnedName, socket};
use crate::wire::{Channel, Dropped, Links, Totals};

/// Copies the tree below `from` to a directory with a temporary name at `place`. `complete` adds to its top what it is to hold besides, before it
/// gets its attributes. Returns the name, what was copied and what was left behind; after a failure nothing is left.
pub fn copy(
    from: &Path,
    place: &Place,
    progress: Progress<'_>,
    complete: impl FnOnce(&Dir, &Path) -> Result<()>,
) -> Result<(OwnedName, (Totals, Dropped))> {
    let top = Dir::open(from).at("open the directory", from)?;
    let (one, other) = socket::pair().at("make a socket pair to copy", from)?;
    let device = place.device()?;
    let (name, to) = place.create_dir()?;
    let path = place.path_of(name.name());
    let sending = move || {
        let mut channel = Channel::new(one);
        send(top, from.as_os_str(), None, (Way::HandOver, device), &mut channel, &mut |_| ())
    };
    let building = || {
        let mut channel = Channel::new(other);
        channel.accept_passed(true);
        let mut builder = Builder::new(to, place, name.name(), Links::Keep)?;
        let built = builder.receive(&mut channel, progress)?;
        complete(builder.top()?, &path)?;
        builder.finish(built.attributes).map(|()| (built.totals, built.dropped))
    };
    let copied = std::thread::scope(|scope| {
        let sender = std::thread::Builder::new().spawn_scoped(scope, sending).at("start a thread to copy", from)?;
        let built = building();
        match sender.join() {
            // Else one end only tells that the other has failed.
            Ok(Err(error)) if !matches!(error, Error::Connection { .. }) => Err(error),
            _ => built,
        }
    });
    match copied {
        Ok(copied) => Ok((name, copied)),
        Err(error) => Err(error.and_then(remove(&place.parent, name.name(), &place.path))),
    }
}
