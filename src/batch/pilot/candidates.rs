//! The switchers that a node has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sys::access;

use crate::batch::switcher::{installed, search};

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

impl Kind {
    /// How well it keeps payloads apart from each other: why it comes in its turn.
    pub fn isolation(self) -> &'static str {
        match self {
            Kind::Rootless => "it gives each payload a user and processes of its own",
            Kind::Glexec => "it gives each payload the user that the site's policy says",
            Kind::Sudo => "payloads at one time share the account that the map says",
        }
    }
}

/// Those of this node, the best first: the better one keeps payloads apart, the earlier it comes.
pub fn all() -> Vec<Candidate> {
    let unmapped = without_map();
    installed_here()
        .into_iter()
        .filter(|candidate| Some(&candidate.program) != unmapped.as_ref())
        .collect()
}

/// The adapter over sudo, if it is installed and has no map.
pub fn without_map() -> Option<PathBuf> {
    let map = std::env::var_os("GLEXEC_SUDO_MAP").unwrap_or_else(|| MAP.into());
    let sudo = installed_here().into_iter().find(|candidate| candidate.kind == Some(Kind::Sudo));
    sudo.filter(|_| !Path::new(&map).exists()).map(|sudo| sudo.program)
}

/// The same, with what leads nowhere as the node is.
fn installed_here() -> Vec<Candidate> {
    let beside = |name: &str| installed(name).ok().filter(|path| access::may_execute(path));
    let own = beside("glexec");
    let is_other = |path: &Path| {
        own.as_ref().and_then(|own| own.canonicalize().ok()) != path.canonicalize().ok()
    };
    let of_site =
        Some(PathBuf::from(GLEXEC)).filter(|path| access::may_execute(path) && is_other(path));
    let found = [
        (Kind::Rootless, own.clone()),
        (Kind::Glexec, of_site),
        (Kind::Sudo, beside("glexec-sudo")),
    ];
    found
        .into_iter()
        .filter_map(|(kind, program)| Some(Candidate { kind: Some(kind), program: program? }))
        .collect()
}

/// What a program is, if it is one of those.
pub fn kind_of(program: &Path) -> Option<Kind> {
    let identity = |path: &Path| path.canonicalize().ok();
    let one = identity(program)?;
    installed_here()
        .into_iter()
        .find(|candidate| identity(&candidate.program).as_ref() == Some(&one))?
        .kind
}

/// The one that is asked for, else all.
pub fn those(glexec: Option<&OsString>) -> error::Result<Vec<PathBuf>> {
    use std::os::unix::ffi::OsStrExt as _;
    match glexec {
        Some(program) if program.as_bytes().contains(&b'/') => Ok(vec![PathBuf::from(program)]),
        Some(program) => Ok(vec![search(program)?]),
        None => Ok(all().into_iter().map(|candidate| candidate.program).collect()),
    }
}
