//! All that watches one payload.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use cgroup::{Group, Place};
use error::{Error, Result};
use sys::Pid;
use sys::socket::Sender;
use sys::wait::Usage;

use super::disk::DiskWatcher;
use super::family::Family;
use super::group::{self, Counted};
use super::plan::Plan;
use super::used::Used;
use super::watch::Watcher;
use super::{Exceeded, Limit, Limits};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// What watches one payload.
#[derive(Default)]
pub struct Watches<'a> {
    group: Option<Group>,
    processes: Option<Watcher>,
    disk: Option<(DiskWatcher<'a>, u64)>,
}

/// What a look has found.
pub enum Found {
    /// The payload has exceeded a limit.
    Exceeded(Exceeded),
    /// This limit of the payload cannot be watched any more, and why.
    Blind(Exceeded, Error),
}

impl<'a> Watches<'a> {
    /// Watches the payload of a call whose wrapper waits, as the plan says. `call` and `wrapper`
    /// are the processes of the switcher and of the wrapper.
    pub fn begin(
        limits: &Limits,
        plan: &Plan,
        sandbox: &'a Sandbox,
        switcher: &Switcher,
        (call, wrapper): (Pid, Sender),
    ) -> Result<Watches<'a>> {
        let (watched, mut group, mut processes) = (plan.watched(), None, None);
        if !watched.is_empty() || plan.place.is_some() {
            let family = Family::new(call, wrapper)?;
            if let Some(place) = &plan.place {
                group = grouped(place, plan, wrapper.pid)?;
            }
            processes = Some(Watcher::new(family, limits, &watched));
            processes = processes.filter(|_| !watched.is_empty());
        }
        let disk = match limits.disk {
            Some(limit) => Some((DiskWatcher::begin(sandbox, switcher)?, limit)),
            None => None,
        };
        Ok(Watches { group, processes, disk })
    }

    /// When [`Watches::look`] is to be called, if [`Watches::disk`] is not readable before.
    pub fn next(&self) -> Option<Instant> {
        self.processes.as_ref().map(Watcher::next)
    }

    /// Readable after a look at the sandbox.
    pub fn disk(&self) -> Option<BorrowedFd<'_>> {
        self.disk.as_ref().and_then(|(disk, _)| disk.looks())
    }

    /// Looks at the processes if that is due, and at what was found of the sandbox if `is_disk`,
    /// which means that [`Watches::disk`] is readable.
    pub fn look(&mut self, is_disk: bool) -> Result<Option<Found>> {
        if let Some((disk, value)) = self.disk.as_mut().filter(|_| is_disk) {
            let exceeded = |used| Exceeded { limit: Limit::Disk, value: *value, used };
            match disk.receive() {
                Ok(used) if used > Some(*value) => {
                    return Ok(Some(Found::Exceeded(exceeded(used))));
                }
                Ok(_) => {}
                Err(error) => return Ok(Some(Found::Blind(exceeded(None), error))),
            }
        }
        let exceeded = match &mut self.processes {
            Some(processes) => processes.look_if_due(self.group.as_ref())?,
            None => None,
        };
        Ok(exceeded.map(Found::Exceeded))
    }

    /// Ends the watch of a payload whose processes have ended. `call` is what the payload's call
    /// has used, if it has ended. `notice` gets a line if its group cannot be removed.
    pub fn end(mut self, call: Option<Usage>, notice: &mut dyn FnMut(&str)) -> Used {
        let watched = self.processes.as_ref().and_then(Watcher::watched);
        let mut peak_disk = None;
        if let Some((disk, _)) = &mut self.disk {
            disk.end();
            peak_disk = disk.peak();
        }
        let group = self.group.take().map(|group| {
            let counted = Counted::of(&group);
            if let Err(error) = group.remove() {
                notice(&format!("condor_glexec_pilot: {error}"));
            }
            counted
        });
        Used { call, group, watched, peak_disk }
    }
}

/// The payload's group, with its first process in it. None if that is impossible and no limit needs
/// the group.
fn grouped(place: &Place, plan: &Plan, wrapper: Pid) -> Result<Option<Group>> {
    let made =
        group::make(place, plan).and_then(|group| group.cgroup().add(wrapper).map(|()| group));
    match made {
        Ok(group) => Ok(Some(group)),
        Err(error) if plan.needs_group() => Err(error),
        Err(_) => Ok(None),
    }
}
