//! Entries with temporary names beside a sandbox, which helpers and agents that were killed left.

use std::ops::ControlFlow;

use sys::{Name, OwnedName, Uid};

use super::Sandbox;

/// At most this many other users are returned by [`Sandbox::owners_of_leftovers`]: few users ever
/// work on one sandbox.
const MAX_OWNERS: usize = 16;

impl Sandbox {
    /// Removes an entry with a temporary name. If it cannot be removed, the next sweep finds it.
    pub fn remove_leftover(&self, name: &OwnedName) {
        let _ = tree::remove(&self.place.parent, name.name(), &self.place.path);
    }

    /// Removes all leftovers of the batch user, except the one with the name `kept`.
    pub fn sweep(&self, kept: Option<Name<'_>>) {
        let leftovers = self.place.leftovers_of(self.user);
        for name in leftovers.iter().filter(|name| Some(name.name()) != kept) {
            self.remove_leftover(name);
        }
    }

    /// Whether there are leftovers of another user.
    pub fn others_left_something(&self) -> bool {
        let mut found = false;
        self.place.visit_leftovers(|_, owner| {
            found = owner != self.user;
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    /// Other users that own leftovers; not more than a few.
    pub fn owners_of_leftovers(&self) -> Vec<Uid> {
        let mut owners = Vec::new();
        self.place.visit_leftovers(|_, owner| {
            if owner != self.user && !owners.contains(&owner) {
                owners.push(owner);
            }
            if owners.len() < MAX_OWNERS {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        owners
    }

    /// The names of all marked directories among the leftovers.
    pub fn marked_aside(&self) -> Vec<OwnedName> {
        let leftovers = self.place.leftovers_of(self.user);
        leftovers.into_iter().filter(|name| self.is_marked(name.name())).collect()
    }
}
