//! Whether a file system has room for a second copy of a sandbox.

use error::{Context as _, Error, Result};
use sys::space::{Space, can_share_content};
use tree::Place;
use wire::Needs;

use super::agent::Agent;
use super::sandbox::Sandbox;

/// Refuses a copy of the sandbox to `to` that has no room there, before anything is copied. First
/// removes what an earlier agent left. `needs` measures the sandbox; it is called only if the file
/// system is more than half full, since otherwise there is room for a copy of everything on it.
pub fn check(
    sandbox: &Sandbox,
    to: &Place,
    agent: &mut Agent,
    needs: impl Fn(&mut Agent) -> Result<Needs>,
) -> Result<()> {
    match compare(to, || needs(agent)) {
        Err(_) if sandbox.others_left_something() => {
            agent.sweep()?;
            compare(to, || needs(agent))
        }
        result => result,
    }
}

fn compare(place: &Place, needs: impl FnOnce() -> Result<Needs>) -> Result<()> {
    let Some(space) = Space::of(&place.parent).at("find the free space around", &place.path)?
    else {
        return Ok(());
    };
    if space.free >= space.used && space.files_free >= space.files_used {
        return Ok(());
    }
    let needs = needs()?;
    let is_shared = needs.large > 0 && can_share_content(&place.parent);
    let bytes = needs.bytes.saturating_add(if is_shared { 0 } else { needs.large });
    if bytes <= space.free && needs.inodes <= space.files_free {
        return Ok(());
    }
    let why = format!(
        "the file system has room for {} bytes and {} files more, but a copy of the sandbox needs \
         {bytes} bytes and {} files; free {} bytes and {} files",
        space.free,
        space.files_free,
        needs.inodes,
        bytes.saturating_sub(space.free),
        needs.inodes.saturating_sub(space.files_free)
    );
    Err(Error::refused(&place.path, why))
}
