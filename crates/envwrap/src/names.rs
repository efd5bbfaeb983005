//! Which variables are left out.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::VARIABLE;

/// What belongs to the user and to the shell of one side, and the wrapped environment itself.
const ALWAYS: [&str; 6] = ["HOME", "LOGNAME", "USER", "X509_USER_PROXY", "_", VARIABLE];

/// The names of variables that are left out.
pub struct Excluded(BTreeSet<OsString>);

impl Excluded {
    /// Those that are always left out, and these: each value of the option is a list of names with
    /// commas between them.
    pub fn new(options: &[(&'static str, OsString)]) -> Excluded {
        let lists =
            options.iter().flat_map(|(_, list)| list.as_bytes().split(|byte| *byte == b','));
        let named = lists.map(|name| OsStr::from_bytes(name).to_owned());
        Excluded(ALWAYS.into_iter().map(OsString::from).chain(named).collect())
    }

    /// Whether a variable is left out.
    pub fn has(&self, name: &OsStr) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_lists_and_from_repeated_options() {
        let excluded = Excluded::new(&[("exclude", "A,B".into()), ("exclude", "C".into())]);
        for name in ["A", "B", "C", "HOME", "LOGNAME", "USER", "X509_USER_PROXY", "_", "GLEXEC_ENV"]
        {
            assert!(excluded.has(name.as_ref()), "{name}");
        }
        for name in ["D", "A,B", "", "PATH", "LD_PRELOAD"] {
            assert!(!excluded.has(name.as_ref()), "{name}");
        }
    }
}
