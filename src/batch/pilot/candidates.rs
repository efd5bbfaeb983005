//! The switchers that are installed on a node.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use error::Result;
use sys::access;

use crate::batch::switcher::{find_in_path, installed_program};

/// A kind of switcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitcherKind {
    /// gLExec, or the project's `glexec` as a set-user-ID program: with a policy of the site.
    Glexec,
    /// `glexec-sudo`, with a sudo rule and a map of the site.
    Sudo,
    /// The project's `glexec`, without privilege.
    Rootless,
}

impl SwitcherKind {
    /// How well it separates payloads from each other, which determines the order.
    pub fn isolation(self) -> &'static str {
        match self {
            SwitcherKind::Rootless => "it gives each payload a separate user and pid namespace",
            SwitcherKind::Glexec => "it gives each payload the user that the site's policy names",
            SwitcherKind::Sudo => "simultaneous payloads share the account that the map names",
        }
    }
}

/// An installed switcher. Whether it works is not known.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its kind; `None` for a program that the caller named and that is none of these.
    pub kind: Option<SwitcherKind>,
    /// Its path.
    pub program: PathBuf,
}

/// The map of `glexec-sudo`, unless `GLEXEC_SUDO_MAP` names another one.
pub const MAP: &str = "/etc/glexec-sudo.map";

/// Where packages install gLExec.
const GLEXEC: &str = "/usr/sbin/glexec";

/// The switchers of this node that could work. Those that separate payloads better come first.
pub fn usable() -> Vec<Candidate> {
    let unusable = sudo_without_map();
    installed().into_iter().filter(|one| Some(&one.program) != unusable.as_ref()).collect()
}

/// The path of `glexec-sudo`, if it is installed and has no map.
pub fn sudo_without_map() -> Option<PathBuf> {
    let map = std::env::var_os("GLEXEC_SUDO_MAP").unwrap_or_else(|| MAP.into());
    let sudo = installed().into_iter().find(|one| one.kind == Some(SwitcherKind::Sudo));
    sudo.filter(|_| !Path::new(&map).exists()).map(|sudo| sudo.program)
}

fn installed() -> Vec<Candidate> {
    let beside = |name| installed_program(name).ok().filter(|path| access::may_execute(path));
    let own = beside("glexec");
    let is_other = |path: &PathBuf| {
        own.as_ref().and_then(|own| own.canonicalize().ok()) != path.canonicalize().ok()
    };
    let of_site =
        Some(PathBuf::from(GLEXEC)).filter(|path| access::may_execute(path) && is_other(path));
    let is_set_user_id =
        |path: &PathBuf| path.metadata().is_ok_and(|found| found.mode() & 0o4000 != 0);
    let kind_of_own = match own.as_ref().is_some_and(is_set_user_id) {
        true => SwitcherKind::Glexec,
        false => SwitcherKind::Rootless,
    };
    let found = [
        (kind_of_own, own.clone()),
        (SwitcherKind::Glexec, of_site),
        (SwitcherKind::Sudo, beside("glexec-sudo")),
    ];
    found
        .into_iter()
        .filter_map(|(kind, program)| Some(Candidate { kind: Some(kind), program: program? }))
        .collect()
}

/// The candidate with this path.
pub fn named(program: PathBuf) -> Candidate {
    let kind = program.canonicalize().ok().and_then(|path| {
        let is_same = |one: &Candidate| one.program.canonicalize().is_ok_and(|one| one == path);
        installed().into_iter().find(is_same)?.kind
    });
    Candidate { kind, program }
}

/// The paths of the switchers to try: the named one, or all that could work. A name without a slash
/// is looked for in PATH.
pub fn programs(glexec: Option<&OsString>) -> Result<Vec<PathBuf>> {
    match glexec {
        Some(program) if program.as_bytes().contains(&b'/') => Ok(vec![PathBuf::from(program)]),
        Some(program) => Ok(vec![find_in_path(program)?]),
        None => Ok(usable().into_iter().map(|candidate| candidate.program).collect()),
    }
}
