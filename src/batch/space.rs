//! Whether there is room for a second copy of a sandbox.

use error::{Context as _, Error, Result};
use sys::space::{Space, can_share_content};
use tree::beside::Place;
use wire::Needs;

use super::agent::Agent;
use super::sandbox::Sandbox;

/// Refuses a transfer that can't succeed, before anything of it is done; but first what an earlier
/// agent has left is removed. `needs` is asked only where it matters: a file system that is not
/// half full has room for a second copy of everything on it. The copy is made at `to`.
pub fn check(
    sandbox: &Sandbox,
    to: &Place,
    agent: &mut Agent,
    needs: impl Fn(&mut Agent) -> Result<Needs>,
) -> Result<()> {
    match judge(to, || needs(agent)) {
        Err(_) if sandbox.others_left_something() => {
            agent.sweep()?;
            judge(to, || needs(agent))
        }
        judged => judged,
    }
}

fn judge(place: &Place, needs: impl FnOnce() -> Result<Needs>) -> Result<()> {
    let Some(space) = Space::of(&place.parent).at("find the free space around", &place.path)?
    else {
        return Ok(());
    };
    if space.free >= space.used && space.files_free >= space.files_used {
        return Ok(());
    }
    let needs = needs()?;
    let shared = needs.large > 0 && can_share_content(&place.parent);
    let bytes = needs.bytes.saturating_add(if shared { 0 } else { needs.large });
    if bytes <= space.free && needs.inodes <= space.files_free {
        return Ok(());
    }
    let why = format!(
        "the file system has room for {} bytes and {} files more, but a copy of the sandbox needs {bytes} and {}; \
         free {} bytes and {} files",
        space.free,
        space.files_free,
        needs.inodes,
        bytes.saturating_sub(space.free),
        needs.inodes.saturating_sub(space.files_free)
    );
    Err(Error::refused(&place.path, why))
}
