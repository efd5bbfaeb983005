//! The switchers that a node has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::batch::switcher::{installed, search};
use crate::sys::process;

/// A kind of switcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// gLExec, with a policy of the site's.
    Glexec,
    /// sudo, with a rule and a map of the site's.
    Sudo,
    /// The project's own, without privilege.
    Rootless,
}

/// A switcher that there is; whether it works is not known.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it is; none if somebody has named it.
    pub kind: Option<Kind>,
    /// Its path.
    pub program: PathBuf,
}

/// Where gLExec's packages put it.
const GLEXEC: &str = "/usr/sbin/glexec";

/// The map without which the adapter over sudo leads nowhere; `GLEXEC_SUDO_MAP` names another one.
pub const MAP: &str = "/etc/glexec-sudo.map";

/// Those of this node, the best first: what an administrator has set up goes before what nobody was asked for.
pub fn all() -> Vec<Candidate> {
    let beside = |name: &str| installed(name).ok().filter(|path| process::may_execute(path));
    let own = beside("glexec");
    let is_other = |path: &Path| own.as_ref().and_then(|own| own.canonicalize().ok()) != path.canonicalize().ok();
    let of_site = Some(PathBuf::from(GLEXEC)).filter(|path| process::may_execute(path) && is_other(path));
    let map = std::env::var_os("GLEXEC_SUDO_MAP").unwrap_or_else(|| MAP.into());
    let sudo = beside("glexec-sudo").filter(|_| Path::new(&map).exists());
    let found = [(Kind::Glexec, of_site), (Kind::Sudo, sudo), (Kind::Rootless, own.clone())];
    found.into_iter().filter_map(|(kind, program)| Some(Candidate { kind: Some(kind), program: program? })).collect()
}

/// What a program is, if it is one of those.
pub fn kind_of(program: &Path) -> Option<Kind> {
    let identity = |path: &Path| path.canonicalize().ok();
    let one = identity(program)?;
    all().into_iter().find(|candidate| identity(&candidate.program).as_ref() == Some(&one))?.kind
}

/// The one that is asked for, else all.
pub fn those(glexec: Option<&OsString>) -> crate::Result<Vec<PathBuf>> {
    use std::os::unix::ffi::OsStrExt as _;
    match glexec {
        Some(program) if program.as_bytes().contains(&b'/') => Ok(vec![PathBuf::from(program)]),
        Some(program) => Ok(vec![search(program)?]),
        None => Ok(all().into_iter().map(|candidate| candidate.program).collect()),
    }
}
