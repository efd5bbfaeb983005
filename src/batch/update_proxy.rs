//! Renewing a proxy while a job runs: first the job's copy, then the retained one.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Name};

use super::agent::AgentCall;
use super::credential::read_credential;
use super::sandbox::{Found, Retained, Sandbox};
use super::switcher::Switcher;

/// Replaces the proxies of a sandbox by the file at `new`, which is removed in any case.
///
/// Without a switcher only the copies that this user can write are replaced: the retained proxy of
/// a sandbox that is set up, or the proxy in one that is not. If the job's copy cannot be replaced,
/// the retained proxy is renewed nevertheless: a job must not make it expire by putting a directory
/// in the place of its copy.
pub fn update_proxy(sandbox: &Sandbox, switcher: Option<&Switcher>, new: &Path) -> Result<()> {
    let no_file = || Error::refused(new, "the new proxy must be a file");
    let (Some(parent), Some(name)) = (new.parent(), new.file_name()) else {
        return Err(no_file());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = Dir::open(parent).at("open the directory of the new proxy", parent)?;
    let name = Name::new(name.as_bytes()).ok_or_else(no_file)?;
    refuse_proxy_of_sandbox(sandbox, &directory, name, new)?;
    let replaced = directory
        .open_file(name)
        .at("open the new proxy", new)
        .and_then(|file| read_credential(file, new))
        .and_then(|content| replace(sandbox, switcher, &content));
    let removed = match directory.remove_file(name) {
        Err(Errno::ENOENT) => Ok(()), // opening it failed, which is reported
        removed => removed.at("remove the new proxy", new),
    };
    match replaced {
        Ok(()) => removed,
        Err(error) => Err(error.and_then(removed)),
    }
}

/// Removes the file with a new proxy that could not be used: the caller relies on its removal in
/// any case.
pub fn remove_new_proxy(new: &Path) {
    let _ = std::fs::remove_file(new);
}

/// Refuses a new proxy that is one of the files to be replaced: it would be removed after it was
/// renewed.
fn refuse_proxy_of_sandbox(
    sandbox: &Sandbox,
    directory: &Dir,
    name: Name<'_>,
    new: &Path,
) -> Result<()> {
    let directory = directory.stat_self().at("examine the directory of", new)?.identity();
    let retained = sandbox
        .open_retained()
        .and_then(|dir| dir.stat_self().at("examine", sandbox.retained_path()));
    let of_sandbox = sandbox.place.parent.stat(sandbox.place.name.name());
    let is_own = [of_sandbox.ok(), retained.ok()]
        .into_iter()
        .flatten()
        .any(|found| found.identity() == directory);
    if name == sandbox.proxy.name() && is_own {
        let why = "the new proxy is the same file as the one to be replaced; it was not changed";
        return Err(Error::refused(new, why));
    }
    Ok(())
}

/// Replaces the proxies of a sandbox; see [`update_proxy`].
fn replace(sandbox: &Sandbox, switcher: Option<&Switcher>, content: &[u8]) -> Result<()> {
    match (sandbox.retained()?, sandbox.found()?) {
        // A setup was killed between two steps: the sandbox has not changed hands.
        (Retained::Absent | Retained::Aside, Found::Mine) => {
            sandbox.replace_proxy(&sandbox.open()?, &sandbox.path(), content)
        }
        (Retained::Proxy, found) => {
            let retained = sandbox.open_retained()?;
            if retained.stat(sandbox.proxy.name()).is_err() {
                let why = "there is no proxy with this name: <proxy> is the name that setup was \
                           called with";
                return Err(Error::refused(sandbox.credential(), why));
            }
            let of_job = match (found, switcher) {
                // A setup was killed before the sandbox changed hands, or a cleanup before its last
                // step: the next one uses this copy.
                (Found::Mine, _) => sandbox
                    .open()
                    .and_then(|dir| sandbox.replace_proxy(&dir, &sandbox.path(), content)),
                // It must stay empty: the job's directory is being taken back.
                (Found::Placeholder, _) => Ok(()),
                (_, Some(switcher)) => replace_of_job(sandbox, switcher, found, content),
                (_, None) => Ok(()),
            };
            let of_batch_user = sandbox.replace_proxy(&retained, &sandbox.retained_path(), content);
            match of_job {
                Ok(()) => of_batch_user,
                Err(error) => Err(error.and_then(of_batch_user)),
            }
        }
        (Retained::Aside | Retained::Data, _) => {
            let why = "a setup or cleanup was interrupted: run condor_glexec_cleanup first";
            Err(Error::refused(sandbox.retained_path(), why))
        }
        (Retained::Absent, _) => {
            Err(Error::refused(sandbox.path(), "it is neither your sandbox nor one that is set up"))
        }
    }
}

/// Replaces the copy in the sandbox, as the job user.
fn replace_of_job(
    sandbox: &Sandbox,
    switcher: &Switcher,
    found: Found,
    content: &[u8],
) -> Result<()> {
    let Found::Theirs(owner) = found else {
        return Err(Error::refused(sandbox.path(), "the job has no directory with this name"));
    };
    let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
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
        Err(error) => Err(agent.fail(error)),
    }
}
