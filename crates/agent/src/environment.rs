//! The job's environment.

use std::collections::HashMap;

use wire::launch;

/// The variable that holds the mark: the path of the sandbox's retained directory. All processes of
/// a family inherit it.
pub(crate) const MARK: &str = "_GLEXEC_HELPERS_FAMILY";

/// The beginning of the names of variables that hold the starter's secrets. A job does not get
/// them.
const PRIVATE: &[u8] = b"CONDOR_PRIVATE_";

/// The beginning of the names of variables with which gLExec passes a job what its caller has set.
const OF_GLEXEC: &[u8] = b"GLEXEC_";

/// The job's environment: the wrapper's own, and the entries `NAME=VALUE` that the starter sent.
/// The last entry of a name overrides earlier ones, and the starter's entries override the
/// wrapper's. The starter's secrets are dropped. The mark is taken from the wrapper's environment
/// only, and comes last. Entries without `=` (macros that the batch system has not expanded) are
/// kept as they are.
pub(crate) fn join(mut own: Vec<Vec<u8>>, mut sent: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if launch::take_without_variables_of_glexec(&mut sent) {
        own.retain(|entry| !entry.starts_with(OF_GLEXEC));
    }
    let is_mark = |entry: &Vec<u8>| name(entry) == MARK.as_bytes();
    let mark = own.iter().find(|entry| is_mark(entry)).cloned();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(own.len() + sent.len() + 1);
    for entry in own.into_iter().chain(sent) {
        if name(&entry).starts_with(PRIVATE) || is_mark(&entry) {
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

/// The part before the first `=`. All of the entry if there is none.
fn name(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::join;

    fn joined(own: &[&str], sent: &[&str]) -> Vec<String> {
        let bytes = |list: &[&str]| list.iter().map(|entry| entry.as_bytes().to_vec()).collect();
        join(bytes(own), bytes(sent))
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
    fn variables_of_glexec_are_the_jobs_unless_the_starter_says_otherwise() {
        let own = ["GLEXEC_CLIENT_CERT=/c", "GLEXEC_ENV=e", "GLEXECUTOR=1"];
        assert_eq!(joined(&own, &["A=1"]), [own[0], own[1], own[2], "A=1"]);
        let entry = super::launch::without_variables_of_glexec();
        let entry = String::from_utf8_lossy(&entry);
        assert_eq!(joined(&own, &["A=1", &entry]), ["GLEXECUTOR=1", "A=1"]);
    }

    #[test]
    fn the_family_mark_is_last_and_the_wrappers_own() {
        let own = ["_GLEXEC_HELPERS_FAMILY=real", "A=1"];
        assert_eq!(
            joined(&own, &["_GLEXEC_HELPERS_FAMILY=fake", "B=2"]),
            ["A=1", "B=2", "_GLEXEC_HELPERS_FAMILY=real"]
        );
        assert_eq!(joined(&[], &["_GLEXEC_HELPERS_FAMILY=fake"]), [""; 0]);
    }

    #[test]
    fn a_macro_that_was_not_filled_in_is_passed_on() {
        assert_eq!(joined(&[], &["$$(OPSYS)", "A=$$(X)"]), ["$$(OPSYS)", "A=$$(X)"]);
    }
}
