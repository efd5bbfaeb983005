//! The world of a job: closed through the project's `glexec` without privilege or as the client of
//! the account daemon. There its files are at the path of the scratch directory, and the batch
//! system's own are hidden.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ::world::{Bind, Closed, Spec};
use error::{Error, Result, Shown};
use sys::process;

use super::scratch::Scratch;
use super::settings::Settings;
use crate::batch::handover::Handover;
use crate::batch::pilot::candidates::{self, SwitcherKind};
use crate::batch::switcher::is_project_glexec;

/// How jobs below an execute directory get a closed world.
#[derive(Debug)]
pub struct Means {
    program: PathBuf,
    handover: Handover,
    hidden: Vec<PathBuf>,
}

/// The closed world of one job.
#[derive(Debug)]
pub struct World {
    /// The switcher that makes it.
    pub program: PathBuf,
    /// How the job's files change hands.
    pub handover: Handover,
    /// What the job finds in it.
    pub spec: Spec,
}

/// The closed world of a job with this sandbox; none if the job sees the machine. It is an error if
/// the settings ask for a closed world that is not possible.
pub fn of(settings: &Settings, scratch: &Scratch, sandbox: &Path) -> Result<Option<World>> {
    // The path is not needed, and may be none of a scratch directory.
    if settings.closes_world == Some(false) {
        return Ok(None);
    }
    let Some(Means { program, handover, mut hidden }) = means(settings, scratch.execute()?)? else {
        return Ok(None);
    };
    // The directory of the slot directories can be elsewhere.
    let slots = sandbox.ancestors().nth(2).and_then(|slots| slots.canonicalize().ok());
    hidden.extend(slots.filter(|slots| !hidden.iter().any(|above| slots.starts_with(above))));
    let shown = settings.shown.iter().chain(&settings.wrapper);
    let closed = Closed {
        bind: vec![Bind { from: sandbox.to_owned(), at: scratch.path.clone() }],
        hide: hidden,
        read_only: shown.map(|path| Bind { from: path.clone(), at: path.clone() }).collect(),
        writable: settings.writable.clone(),
        ..Closed::default()
    };
    Ok(Some(World { program, handover, spec: Spec::Closed(closed) }))
}

/// How jobs below this execute directory, which is an absolute path without symbolic links, get a
/// closed world; none if they see the machine. It is an error if the settings ask for a closed
/// world that is not possible.
pub fn means(settings: &Settings, execute: &Path) -> Result<Option<Means>> {
    if settings.closes_world == Some(false) {
        return Ok(None);
    }
    match possible(settings, execute)? {
        Ok(means) => Ok(Some(means)),
        Err(_) if settings.closes_world.is_none() => Ok(None),
        Err(why) => {
            let why = format!("there is no closed world (the setting 'world'): {why}");
            Err(Error::refused(execute, why))
        }
    }
}

/// The means, or why there are none.
fn possible(settings: &Settings, execute: &Path) -> Result<std::result::Result<Means, String>> {
    let first = candidates::programs(settings.glexec.as_ref())?.into_iter().next();
    let Some(program) = first.filter(|program| is_project_glexec(program)) else {
        return Ok(Err("it needs the project's glexec".to_owned()));
    };
    let is_asked_for = settings.closes_world == Some(true);
    let is_set_user_id = candidates::named(program.clone()).kind == Some(SwitcherKind::Glexec);
    let handover = match (is_set_user_id, glexec::asks_daemon()) {
        (false, false) if settings.handover == Handover::Copy => {
            let why = "it needs a change of owner, and 'handover' is copy";
            return Ok(Err(why.to_owned()));
        }
        (false, false) => Handover::Own,
        // What accounts see is the administrator's to say: they can have homes, and root
        // directories, to which a caller can add nothing.
        (true, _) if !is_asked_for => return Ok(Err("it was not asked for".to_owned())),
        (false, true) if !is_asked_for && glexec::has_root_directories() => {
            return Ok(Err("the administrator gives accounts root directories".to_owned()));
        }
        _ => Handover::Copy,
    };
    let mut hidden = vec![execute.to_owned()];
    // The directory of the batch system's logs and state.
    let own = |path: &&Path| {
        std::fs::metadata(path).is_ok_and(|found| found.uid() == process::geteuid().as_raw())
    };
    hidden.extend(execute.parent().filter(own).map(Path::to_owned));
    // A hidden directory can be passed; one above all hidden ones must be.
    let top = hidden.last().map_or(execute, PathBuf::as_path);
    let is_closed =
        |above: &&Path| std::fs::metadata(above).is_ok_and(|found| found.mode() & 0o001 == 0);
    if let Some(above) = top.ancestors().skip(1).find(is_closed) {
        return Ok(Err(format!("other users cannot pass {}", Shown::os(above))));
    }
    hidden.extend(settings.hidden.iter().cloned());
    Ok(Ok(Means { program, handover, hidden }))
}
