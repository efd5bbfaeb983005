//! The job's environment.

use std::collections::HashMap;

/// The variable that marks every process of a sandbox's family; see
/// [`crate::batch::identity::family_of`].
pub const FAMILY: &str = "_GLEXEC_HELPERS_FAMILY";

/// Variables of a starter that are its secrets and no business of a job.
const PRIVATE: &[u8] = b"CONDOR_PRIVATE_";

/// Joins what the switcher gave the wrapper with what the starter sent, entries `NAME=VALUE` each:
/// the starter's values win, and the last of two equal names. The starter's secrets are dropped.
/// The family mark is the wrapper's own, never the starter's, and comes last. Entries without `=`
/// (macros that were not filled in) are passed on as they are.
pub fn join(given: Vec<Vec<u8>>, sent: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let marks = |entry: &Vec<u8>| name(entry) == FAMILY.as_bytes();
    let mark = given.iter().find(|entry| marks(entry)).cloned();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(given.len() + sent.len() + 1);
    for entry in given.into_iter().chain(sent) {
        if name(&entry).starts_with(PRIVATE) || marks(&entry) {
            continue;
        }
        match places.get(name(&entry)) {
            Some(place) => joined[*place] = entry,
            None => {
                places.insert(name(&entry).to_vec(), joined.len());
                joined.push(entry);
            }
        }
    }
    joined.extend(mark);
    joined
}

/// What stands before the first `=`; all of it where there is none.
fn name(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::join;

    fn joined(given: &[&str], sent: &[&str]) -> Vec<String> {
        let bytes = |list: &[&str]| list.iter().map(|entry| entry.as_bytes().to_vec()).collect();
        join(bytes(given), bytes(sent))
            .into_iter()
            .map(|entry| String::from_utf8_lossy(&entry).into_owned())
            .collect()
    }

    #[test]
    fn the_starters_values_override_the_switchers_and_the_last_of_equal_names_wins() {
        assert_eq!(
            joined(&["PATH=/bin", "A=1"], &["A=2", "B=x=y", "A=3"]),
            ["PATH=/bin", "A=3", "B=x=y"]
        );
    }

    #[test]
    fn the_starters_secrets_are_dropped() {
        assert!(
            joined(
                &["CONDOR_PRIVATE_X=1"],
                &["CONDOR_PRIVATE_SHARED_PORT_COOKIE=s", "CONDOR_PRIVATE_"]
            )
            .is_empty()
        );
    }

    #[test]
    fn the_family_mark_is_last_and_the_wrappers_own() {
        let given = ["_GLEXEC_HELPERS_FAMILY=real", "A=1"];
        assert_eq!(
            joined(&given, &["_GLEXEC_HELPERS_FAMILY=fake", "B=2"]),
            ["A=1", "B=2", "_GLEXEC_HELPERS_FAMILY=real"]
        );
        assert_eq!(joined(&[], &["_GLEXEC_HELPERS_FAMILY=fake"]), [""; 0]);
    }

    #[test]
    fn a_macro_that_was_not_filled_in_is_passed_on() {
        assert_eq!(joined(&[], &["$$(OPSYS)", "A=$$(X)"]), ["$$(OPSYS)", "A=$$(X)"]);
    }
}
