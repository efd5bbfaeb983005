//! Renewing a proxy while a job runs: the job's copy first, then the retained one.

use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Name};

use super::agent::AgentCall;
use super::credential::read_credential;
use super::retry::Attempt;
use super::sandbox::{Found, Retained, Sandbox};
use super::switcher::Switcher;

/// Replaces the proxies of a sandbox by the file at `new`, which is removed, whatever comes of it.
///
/// Without a switcher only the copies that this user can reach are replaced: the retained one of a
/// sandbox that is set up, or the one in a sandbox that is not. A failure to replace the job's copy
/// does not keep the retained one from being renewed: a job that puts a directory in the place of
/// its proxy must not let the pilot's own expire.
pub fn update_proxy(sandbox: &Sandbox, switcher: Option<&Switcher>, new: &Path) -> Result<()> {
    let (Some(directory), Some(name)) = (new.parent(), new.file_name()) else {
        return Err(Error::refused(new, "the new proxy is a file"));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let holder = Dir::open(directory).at("open the directory of the new proxy", directory)?;
    let Some(name) = Name::new(std::os::unix::ffi::OsStrExt::as_bytes(name)) else {
        return Err(Error::refused(new, "the new proxy is a file"));
    };
    refuse_own(sandbox, &holder, name, new)?;
    let replaced = holder
        .open_file(name)
        .at("open the new proxy", new)
        .and_then(|file| read_credential(file, new))
        .and_then(|content| replace(sandbox, switcher, &content));
    let consumed = match holder.remove_file(name) {
        Err(Errno::ENOENT) => Ok(()), // then it could not be opened either, and that is said
        consumed => consumed.at("remove the new proxy", new),
    };
    match replaced {
        Ok(()) => consumed,
        Err(error) => Err(error.and_then(consumed)),
    }
}

/// Removes the file with a new proxy that could not be used: its caller counts on it that it is
/// gone, whatever came of it.
pub fn consume(new: &Path) {
    let _ = std::fs::remove_file(new);
}

/// A new proxy that is one of the files to be replaced would be removed after it was renewed.
fn refuse_own(sandbox: &Sandbox, holder: &Dir, name: Name<'_>, new: &Path) -> Result<()> {
    let of_holder = holder.stat_self().at("examine the directory of", new)?.identity();
    let parent = &sandbox.place.parent;
    let retained = sandbox
        .open_retained()
        .and_then(|dir| dir.stat_self().at("examine", sandbox.retained_path()));
    let own = [parent.stat(sandbox.place.name.name()).ok(), retained.ok()];
    if name == sandbox.proxy.name()
        && own.into_iter().flatten().any(|stat| stat.identity() == of_holder)
    {
        return Err(Error::refused(
            new,
            "the new proxy is the very file that it is to replace; it was left alone",
        ));
    }
    Ok(())
}

/// Replaces the proxies of a sandbox; see [`update_proxy`].
pub fn replace(sandbox: &Sandbox, switcher: Option<&Switcher>, content: &[u8]) -> Result<()> {
    match (sandbox.retained()?, sandbox.found()?) {
        // A setup was killed between two steps: the sandbox has not changed hands.
        (Retained::Absent | Retained::Aside, Found::Mine) => {
            sandbox.replace_proxy(&sandbox.open()?, &sandbox.path(), content)
        }
        (Retained::Proxy, found) => {
            let retained = sandbox.open_retained()?;
            if retained.stat(sandbox.proxy.name()).is_err() {
                let why = "there is no proxy of this name: <proxy> is the name that setup was called with";
                return Err(Error::refused(sandbox.credential(), why));
            }
            let of_job = match (found, switcher) {
                // A setup was killed before the sandbox changed hands, or a cleanup when it was all
                // but done: the next one takes this copy.
                (Found::Mine, _) => sandbox
                    .open()
                    .and_then(|dir| sandbox.replace_proxy(&dir, &sandbox.path(), content)),
                (_, Some(switcher)) => replace_jobs(sandbox, switcher, found, content),
                (_, None) => Ok(()),
            };
            let of_batch = sandbox.replace_proxy(&retained, &sandbox.retained_path(), content);
            match of_job {
                Ok(()) => of_batch,
                Err(error) => Err(error.and_then(of_batch)),
            }
        }
        (Retained::Aside | Retained::Data, _) => {
            let why = "a setup or cleanup was interrupted: run condor_glexec_cleanup first";
            Err(Error::refused(sandbox.retained_path(), why))
        }
        (Retained::Absent, _) => Err(Error::refused(
            sandbox.path(),
            "it is no sandbox of yours, and none that is set up",
        )),
    }
}

/// Replaces the copy in the sandbox, as the job user.
fn replace_jobs(
    sandbox: &Sandbox,
    switcher: &Switcher,
    found: Found,
    content: &[u8],
) -> Result<()> {
    let Found::Theirs(owner) = found else {
        return Err(Error::refused(
            sandbox.path(),
            "the job has no directory of that name any more",
        ));
    };
    let call = AgentCall::serve(switcher, &sandbox.path())?;
    let mut agent = call.wait_for_hello().map_err(Attempt::error)?;
    if agent.uid != owner {
        let why = format!(
            "it belongs to uid {owner}, but the switcher runs commands as uid {}",
            agent.uid
        );
        return Err(Error::refused(sandbox.path(), why));
    }
    match agent.put_proxy(sandbox.proxy.name(), content) {
        Ok(()) => {
            agent.close();
            Ok(())
        }
        Err(error) => Err(agent.fail(error).error()),
    }
}
