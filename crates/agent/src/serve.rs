//! The errand for a sandbox: the helper asks over the socket on descriptor 0, one request after the
//! other.

use std::path::Path;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Dir, Name, OwnedName, Rename, fd, process, signal};
use tree::beside::Place;
use tree::{self, Builder, Way};
use wire::{Channel, Frame, Links};

use super::helper;

/// Serves one connection, until the helper closes it. What was made and not yet published, or moved
/// out of the way and not yet deleted, is deleted then: the helper has a complete copy at those
/// moments.
pub fn serve(sandbox: &Path) -> Result<()> {
    // With fewer a tree is walked more slowly, or not at all.
    let _ = fd::raise_limit();
    process::create_privately();
    signal::survive_file_size_limit();
    let mut channel = helper::take_socket()?;
    // The helper sends its tree without waiting for an answer.
    channel.accept_passed(true);
    helper::greet(&mut channel)?;
    let place = match Place::find(sandbox) {
        Ok(place) => place,
        Err(error) => return helper::give_up(&mut channel, error),
    };
    let mut server = Server { place: &place, aside: None, unheard: None };
    let served = server.requests(&mut channel);
    let deleted = server.take_back().and_then(|()| server.delete(&mut || ()));
    match served {
        Err(Error::Connection { cause: ConnectionError::Closed, .. }) => deleted,
        Err(error) => helper::give_up(&mut channel, error),
        Ok(never) => match never {},
    }
}

/// A request with what it brings, taken off the channel.
enum Request {
    Receive,
    Measure,
    Give(Links, OwnedName),
    Publish,
    Retire,
    Delete,
    PutProxy(OwnedName, Vec<u8>),
    Sweep,
}

struct Server<'a> {
    place: &'a Place,
    /// The name beside the sandbox of a copy that is not published, or of what was moved out of
    /// the way.
    aside: Option<OwnedName>,
    /// What was done last to the sandbox's name, until the helper has heard of it. One that does
    /// not hear has given this agent up, or is long gone, and the sandbox may be another job's
    /// by now.
    unheard: Option<PendingRename>,
}

/// What an agent does to the sandbox's name.
#[derive(Clone, Copy)]
enum PendingRename {
    /// It named its copy, of this device and inode.
    Published((u64, u64)),
    /// It moved the sandbox out of the way.
    Retired,
}

impl Server<'_> {
    /// Carries out requests until one fails or the helper is gone.
    fn requests(&mut self, channel: &mut Channel) -> Result<std::convert::Infallible> {
        loop {
            let request = match channel.receive().map_err(helper::broken)? {
                Frame::Upload => Request::Receive,
                Frame::Measure => Request::Measure,
                Frame::Download { links, except } => Request::Give(links, except.into()),
                Frame::Publish => Request::Publish,
                Frame::Retire => Request::Retire,
                Frame::Delete => Request::Delete,
                Frame::PutProxy { name, content } => {
                    Request::PutProxy(name.into(), content.to_vec())
                }
                Frame::Sweep => Request::Sweep,
                _ => {
                    return Err(helper::broken(ConnectionError::Protocol("a request out of turn")));
                }
            };
            // One that was held up for so long that its helper has given it up must not begin any
            // more: the sandbox may be another job's by now.
            if matches!(request, Request::Publish | Request::Retire) && channel.is_closed() {
                return Err(helper::broken(ConnectionError::Closed));
            }
            match request {
                Request::Receive => self.receive(channel)?,
                Request::Measure => {
                    let path = self.place.path_of(self.name());
                    let needs =
                        tree::measure(self.sandbox()?, path.as_os_str(), &mut beat(channel))?;
                    channel.send(Frame::Needed { needs }).map_err(helper::broken)?;
                    continue;
                }
                Request::Give(links, except) => {
                    let path = self.place.path_of(self.name());
                    let way = (Way::BringBack(links), self.place.device()?);
                    let sandbox = self.sandbox()?;
                    tree::send(
                        sandbox,
                        path.as_os_str(),
                        Some(except.name()),
                        way,
                        channel,
                        &mut |_| (),
                    )?;
                }
                Request::Publish => self.publish()?,
                Request::Retire => self.retire()?,
                Request::Delete => self.delete(&mut beat(channel))?,
                Request::PutProxy(name, content) => self.put_proxy(name.name(), &content)?,
                Request::Sweep => self.place.sweep(process::user(), &mut beat(channel)),
            }
            channel.send(Frame::Done).map_err(helper::broken)?;
            self.unheard = None;
        }
    }

    fn name(&self) -> Name<'_> {
        self.place.name.name()
    }

    /// Opens the sandbox, which must be a directory of this user.
    fn sandbox(&self) -> Result<Dir> {
        let path = self.place.path_of(self.name());
        let dir =
            tree::open_dir(&self.place.parent, self.name(), || path.clone().into_os_string())?;
        match dir.stat_self().at("examine", &path)?.uid() {
            owner if owner == process::user() => Ok(dir),
            owner => Err(Error::refused(
                path,
                format!("it belongs to uid {owner}, not to uid {}", process::user()),
            )),
        }
    }

    /// Builds a copy of the tree that follows, beside the sandbox.
    fn receive(&mut self, channel: &mut Channel) -> Result<()> {
        if self.aside.is_some() {
            return Err(helper::broken(ConnectionError::Protocol("a second copy")));
        }
        self.place.sweep(process::user(), &mut beat(channel));
        let (name, top) = self.place.create_dir()?;
        let name = self.aside.insert(name);
        let mut builder = Builder::new(top, self.place, name.name(), Links::Keep)?;
        let built = builder.receive(channel, &mut |_| ())?;
        builder.finish(built.attributes)
    }

    /// Names the copy as the sandbox, if nobody has taken the name.
    fn publish(&mut self) -> Result<()> {
        let aside = self
            .aside
            .clone()
            .ok_or_else(|| helper::broken(ConnectionError::Protocol("nothing to publish")))?;
        let copy = self
            .place
            .parent
            .stat(aside.name())
            .at("examine the copy at", self.place.path_of(aside.name()))?;
        let named = self.place.parent.rename(aside.name(), self.name(), Rename::NoReplace);
        named.at("put the copy in place as", self.place.path_of(self.name()))?;
        (self.aside, self.unheard) = (None, Some(PendingRename::Published(copy.identity())));
        Ok(())
    }

    /// Moves whatever has the sandbox's name out of the way.
    fn retire(&mut self) -> Result<()> {
        if self.aside.is_some() {
            return Err(helper::broken(ConnectionError::Protocol(
                "two things to move out of the way",
            )));
        }
        let aside = self.place.free_name();
        let moved = self.place.parent.rename(self.name(), aside.name(), Rename::NoReplace);
        moved.at("move out of the way", self.place.path_of(self.name()))?;
        self.aside = Some(aside);
        self.unheard = Some(PendingRename::Retired);
        Ok(())
    }

    /// Undoes what the helper has not heard of.
    fn take_back(&mut self) -> Result<()> {
        let path = self.place.path_of(self.name());
        match (self.unheard.take(), self.aside.take()) {
            // If somebody has the name by now, the next agent sweeps what was moved.
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

    /// Deletes what is beside the sandbox.
    fn delete(&mut self, beat: &mut dyn FnMut()) -> Result<()> {
        match self.aside.take() {
            Some(aside) => {
                tree::remove_with(&self.place.parent, aside.name(), &self.place.path, beat)
            }
            None => Ok(()),
        }
    }

    /// Replaces the job's proxy: written beside the sandbox, renamed into it. A link under that
    /// name is replaced, not followed.
    fn put_proxy(&self, name: Name<'_>, content: &[u8]) -> Result<()> {
        self.place.replace(&self.sandbox()?, &self.place.path_of(self.name()), name, content)
    }
}

/// Tells the helper now and then that a long task is still being worked on. A helper that is gone
/// is noticed at its end.
fn beat(channel: &mut Channel) -> impl FnMut() {
    || {
        let _ = channel.keep_alive();
    }
}
