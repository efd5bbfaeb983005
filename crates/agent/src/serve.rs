//! The operation `serve`: answers the helper's requests about one sandbox, which come one after the
//! other over the socket on descriptor 0.
//!
//! A pilot keeps the connection while its payload runs, and has the agent watch the payload's
//! family. That lasts until the pilot asks for the family's end, or until the connection ends.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Dir, Name, OwnedName, Pid, Rename, process, rlimit, signal};
use tree::{self, Builder, Place, Transfer};
use wire::{Channel, Frame, Links};

use super::agent::refuse_caller;
use super::helper;
use super::watch::Watched;

/// Serves one connection until the helper closes it. Then a copy that is not published, and a
/// sandbox that was moved aside and is not yet deleted, are deleted: the helper has another
/// complete copy at these moments.
pub(crate) fn serve(sandbox: &Path) -> Result<()> {
    // With fewer descriptors a walk through the tree is slower, or fails.
    let _ = rlimit::raise_nofile();
    process::umask(0o077);
    signal::ignore_sigxfsz();
    let mut channel = helper::take_socket()?;
    // The helper sends its tree, with descriptors, without waiting for an answer.
    channel.accept_passed(true);
    helper::send_hello(&mut channel)?;
    let place = match Place::find(sandbox) {
        Ok(place) => place,
        Err(error) => return helper::send_failure(&mut channel, error),
    };
    let mut server = Server { place: &place, aside: None, unacknowledged: None, watched: None };
    let served = server.serve_requests(&mut channel);
    if let Some(watched) = server.watched.take() {
        // Only a pilot that is gone, or that has dropped this agent, leaves the family to it.
        let _ = watched.end(&mut channel);
    }
    let deleted = server.undo_unacknowledged().and_then(|()| server.delete(&mut || ()));
    match served {
        Err(Error::Connection { cause: ConnectionError::Closed, .. }) => deleted,
        Err(error) => helper::send_failure(&mut channel, error),
        Ok(never) => match never {},
    }
}

/// A request with its arguments, independent of the channel's buffer.
enum Request {
    Upload,
    Measure,
    Download(Links, OwnedName),
    Publish,
    Retire,
    Delete,
    PutProxy(OwnedName, Vec<u8>),
    Sweep,
    Watch(Pid, OsString),
    EndFamily,
}

struct Server<'a> {
    place: &'a Place,
    /// The temporary name, beside the sandbox, of a copy that is not published, or of a sandbox
    /// that was moved aside.
    aside: Option<OwnedName>,
    /// The last rename, until its answer is sent. A helper that does not receive the answer has
    /// dropped this agent, or is gone, and the sandbox's name may be another job's.
    unacknowledged: Option<PendingRename>,
    /// The family that is killed when the connection ends.
    watched: Option<Watched>,
}

/// A rename that the helper may not know of.
#[derive(Clone, Copy)]
enum PendingRename {
    /// The copy, with this device and inode, got the sandbox's name.
    Published((u64, u64)),
    /// The sandbox was moved aside.
    Retired,
}

impl Server<'_> {
    /// Carries out requests until one fails or the helper is gone.
    fn serve_requests(&mut self, channel: &mut Channel) -> Result<std::convert::Infallible> {
        loop {
            let request = match channel.receive().map_err(helper::connection_error)? {
                Frame::Upload => Request::Upload,
                Frame::Measure => Request::Measure,
                Frame::Download { links, except } => Request::Download(links, except.into()),
                Frame::Publish => Request::Publish,
                Frame::Retire => Request::Retire,
                Frame::Delete => Request::Delete,
                Frame::PutProxy { name, content } => {
                    Request::PutProxy(name.into(), content.to_vec())
                }
                Frame::Sweep => Request::Sweep,
                Frame::Watch { root, mark } => {
                    Request::Watch(root, OsString::from_vec(mark.to_vec()))
                }
                Frame::EndFamily => Request::EndFamily,
                _ => return Err(out_of_turn()),
            };
            // A helper that dropped this agent while it was suspended has closed the connection.
            // Its requests must not begin any more: the sandbox's name may be another job's.
            if matches!(request, Request::Publish | Request::Retire) && channel.is_closed() {
                return Err(helper::connection_error(ConnectionError::Closed));
            }
            match request {
                Request::Upload => self.receive_tree(channel)?,
                Request::Measure => {
                    let path = self.place.path_of(self.name());
                    let needs = tree::measure(
                        self.sandbox()?,
                        path.as_os_str(),
                        &mut helper::keep_alive(channel),
                    )?;
                    channel.send(Frame::Needed { needs }).map_err(helper::connection_error)?;
                    continue;
                }
                Request::Download(links, except) => self.send_tree(links, &except, channel)?,
                Request::Publish => self.publish()?,
                Request::Retire => self.retire()?,
                Request::Delete => self.delete(&mut helper::keep_alive(channel))?,
                Request::PutProxy(name, content) => self.put_proxy(name.name(), &content)?,
                Request::Sweep => {
                    self.place.sweep(process::geteuid(), &mut helper::keep_alive(channel))
                }
                Request::Watch(root, mark) => self.watch(root, mark, channel)?,
                Request::EndFamily => {
                    let watched = self.watched.take().ok_or_else(out_of_turn)?;
                    watched.end(channel)?;
                    continue;
                }
            }
            channel.send(Frame::Done).map_err(helper::connection_error)?;
            self.unacknowledged = None;
        }
    }

    fn name(&self) -> Name<'_> {
        self.place.name.name()
    }

    /// From now on the family is killed when the connection ends. Like every operation that sends
    /// signals, it is refused if the helper runs as this user, too.
    fn watch(&mut self, root: Pid, mark: OsString, channel: &Channel) -> Result<()> {
        refuse_caller(channel.creator_uid().map_err(helper::connection_error)?)?;
        if self.watched.is_some() {
            return Err(out_of_turn());
        }
        self.watched = Some(Watched::new(root, mark));
        Ok(())
    }

    /// Opens the sandbox, which must be a directory of this user.
    fn sandbox(&self) -> Result<Dir> {
        let path = self.place.path_of(self.name());
        let dir =
            tree::open_dir(&self.place.parent, self.name(), || path.clone().into_os_string())?;
        match dir.stat_self().at("examine", &path)?.uid() {
            owner if owner == process::geteuid() => Ok(dir),
            owner => Err(Error::refused(
                path,
                format!("it belongs to uid {owner}, not to uid {}", process::geteuid()),
            )),
        }
    }

    /// Sends the sandbox, without the top-level entry `except`.
    fn send_tree(&self, links: Links, except: &OwnedName, channel: &mut Channel) -> Result<()> {
        let path = self.place.path_of(self.name());
        let way = (Transfer::Take(links), self.place.device()?);
        let (sandbox, except) = (self.sandbox()?, Some(except.name()));
        tree::send(sandbox, path.as_os_str(), except, way, channel, &mut |_| ()).map(drop)
    }

    /// Builds a copy of the tree whose records follow, beside the sandbox.
    fn receive_tree(&mut self, channel: &mut Channel) -> Result<()> {
        if self.aside.is_some() {
            return Err(helper::connection_error(ConnectionError::Protocol("a second copy")));
        }
        self.place.sweep(process::geteuid(), &mut helper::keep_alive(channel));
        let (name, top) = self.place.create_dir()?;
        let name = self.aside.insert(name);
        let mut builder = Builder::new(top, self.place, name.name(), Links::Keep)?;
        let built = builder.receive(channel, &mut |_| ())?;
        builder.finish(built.attributes)
    }

    /// Renames the copy to the sandbox's name, which must be free.
    fn publish(&mut self) -> Result<()> {
        let aside = self.aside.clone().ok_or_else(|| {
            helper::connection_error(ConnectionError::Protocol("nothing to publish"))
        })?;
        let copy = self
            .place
            .parent
            .stat(aside.name())
            .at("examine the copy at", self.place.path_of(aside.name()))?;
        let named = self.place.parent.rename(aside.name(), self.name(), Rename::NoReplace);
        named.at("put the copy in place as", self.place.path_of(self.name()))?;
        (self.aside, self.unacknowledged) = (None, Some(PendingRename::Published(copy.identity())));
        Ok(())
    }

    /// Moves what has the sandbox's name aside: renames it to a temporary name.
    fn retire(&mut self) -> Result<()> {
        if self.aside.is_some() {
            return Err(helper::connection_error(ConnectionError::Protocol(
                "two things to move out of the way",
            )));
        }
        let aside = self.place.temporary_name();
        let moved = self.place.parent.rename(self.name(), aside.name(), Rename::NoReplace);
        moved.at("move out of the way", self.place.path_of(self.name()))?;
        self.aside = Some(aside);
        self.unacknowledged = Some(PendingRename::Retired);
        Ok(())
    }

    /// Undoes a rename whose answer was not sent.
    fn undo_unacknowledged(&mut self) -> Result<()> {
        let path = self.place.path_of(self.name());
        match (self.unacknowledged.take(), self.aside.take()) {
            // If the name is taken meanwhile, the next agent deletes what was moved aside.
            (Some(PendingRename::Retired), Some(aside)) => {
                let named = self.place.parent.rename(aside.name(), self.name(), Rename::NoReplace);
                named.at("put back", path)
            }
            (Some(PendingRename::Published(copy)), None) => {
                let found = self.place.parent.stat(self.name());
                if found.is_ok_and(|found| found.identity() == copy) {
                    self.retire()
                } else {
                    Ok(())
                }
            }
            (_, aside) => {
                self.aside = aside;
                Ok(())
            }
        }
    }

    /// Deletes what has the temporary name.
    fn delete(&mut self, keep_alive: &mut dyn FnMut()) -> Result<()> {
        match self.aside.take() {
            Some(aside) => {
                tree::remove_with(&self.place.parent, aside.name(), &self.place.path, keep_alive)
            }
            None => Ok(()),
        }
    }

    /// Replaces the job's proxy: writes it beside the sandbox and renames it into the sandbox. A
    /// link of that name is replaced, not followed.
    fn put_proxy(&self, name: Name<'_>, content: &[u8]) -> Result<()> {
        tree::replace(self.place, &self.sandbox()?, &self.place.path_of(self.name()), name, content)
    }
}

fn out_of_turn() -> Error {
    helper::connection_error(ConnectionError::Protocol("a request out of turn"))
}
