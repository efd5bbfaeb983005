//! What a job finds: its user, arguments, environment, standard input, and process.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{all_are_as_plain, results};
use crate::fixture::{End, Job, PILOT};

/// The words are separated by newlines, which arguments of a submit file cannot have.
const ARGUMENTS: &str = r#"printf '%s\n' "$@" | od -An -tx1 -v"#;
const EVERY_BYTE: &str = concat!(
    "arguments = \"one ''  '' ' two  words ' * '$(DOLLAR)HOME' '`id`' 'a''b\"\"c\\\\' ",
    "' \x01\x02\x03\x04\x05\x06\x07\x08\t\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19",
    "\x1a\x1b\x1c\x1d\x1e\x1f !\"\"#%&()*+,-./0123456789:;<=>?@[\\\\]^_`{|}~\x7f' --help -- -x\""
);
const ENVIRONMENT: &str = "env -0 | sort -z | tr '\\0' '\\n'; echo; pwd -P; echo \"$HOME\"";
/// The shell that runs this, and what it inherits.
const PROCESS: &str = r#"
# A pipe to another process would be among them for a moment.
cd /proc/$$/fd && echo descriptors * && cd "$OLDPWD"
grep -E '^(SigIgn|SigBlk|Umask):' /proc/self/status
ulimit -a | grep -v 'pending signals'
nice
readlink /proc/$$/fd/0
[ "$(cut -d' ' -f6 /proc/$$/stat)" = "$(cut -d' ' -f5 /proc/$$/stat)" ] && echo leads
"#;
const INPUT: &[u8] = b"first line\nno newline at the end \x00\xff";

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("identity", "id -u; id -g; id -G; id -u >own; ls -n own | cut -d' ' -f3"),
        Job::new("arguments", ARGUMENTS).with(EVERY_BYTE),
        Job::new("environment", ENVIRONMENT).with(
            "environment = \"A=1 B='two  words' C=''quoted'' D= LD_LIBRARY_PATH=/nowhere \
             PATH=/usr/bin:/bin:/own HERE=$$(CondorScratchDir)/x TERM=dumb\"",
        ),
        Job::new("input", "od -An -tx1").with("input = data").and(&[("data", INPUT)]),
        Job::new("no-input", "wc -c; readlink /proc/$$/fd/0"),
        Job::new("process", PROCESS),
        Job::new(
            "ads",
            "grep -c . .job.ad .machine.ad >/dev/null && grep -E '^(Cmd|Owner) ' .job.ad",
        ),
        Job::new(
            "output-by-path",
            "echo one; echo two >/dev/stdout; echo three >>/dev/stdout; echo four >&2; echo five",
        ),
    ]
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_is_another_user_in_no_group_of_the_pilots() {
    let (plain, ours) = results("identity");
    assert!(plain.out().starts_with(&format!("{PILOT}\n")), "{}", plain.out());
    for (way, result) in ours {
        assert_eq!(result.ended(), End::Exited(0), "{way}");
        let out = result.out();
        let ids: BTreeSet<&str> = out.split_whitespace().collect();
        assert!(!ids.contains("0") && !ids.contains(PILOT.to_string().as_str()), "{way}: {out}");
        assert_eq!(out.lines().count(), 4, "{way}: {out}");
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn arguments_reach_a_job_byte_by_byte() {
    let out = all_are_as_plain("arguments").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(out.contains("01 02 03 04 05 06 07 08 09 0b 0c 0e 0f 10"), "{out}");
}

/// Variables that HTCondor sets for its own search of processes.
fn is_of_the_starter(name: &str) -> bool {
    name.starts_with("_CONDOR_ANCESTOR_")
}

/// The variables of an output, with the working directory as `@`; then what follows them.
fn variables(out: &str) -> (BTreeMap<String, String>, String) {
    let (list, rest) = out.split_once("\n\n").unwrap();
    let place = rest.lines().next().unwrap();
    let list = list.lines().filter_map(|line| line.split_once('='));
    let list = list.map(|(name, value)| (name.to_owned(), value.replace(place, "@")));
    (list.collect(), rest.replace(place, "@"))
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn the_environment_of_a_job_is_the_starters_without_what_is_its_own() {
    let (plain, ours) = results("environment");
    let (mut expected, _) = variables(&plain.out());
    expected.retain(|name, _| !is_of_the_starter(name));
    let has_chirp = expected.contains_key("_CONDOR_CHIRP_CONFIG");
    for (way, result) in ours {
        assert_eq!(result.ended(), End::Exited(0), "{way}");
        let (mut found, rest) = variables(&result.out());
        for name in found.keys() {
            assert!(!is_of_the_starter(name) && !name.starts_with("GLEXEC"), "{way}: {name}");
        }
        assert_eq!(rest.lines().nth(1), Some("@"), "{way}: HOME");
        let chirp = found.get("_CONDOR_CHIRP_CONFIG").map(String::as_str);
        assert_eq!(chirp, has_chirp.then_some("@/.chirp.config"), "{way}");
        // What a switcher and the pilot's command set where HTCondor sets nothing.
        found.retain(|name, _| expected.contains_key(name));
        // HTCondor 25 has that file beside the scratch directory, and sets the last two: HOME to
        // that of its own user.
        let more = ["_CONDOR_CHIRP_CONFIG", "CONDOR_STARTER_PID", "HOME"];
        for name in ["_CONDOR_SLOT", "SHLVL", "_"].into_iter().chain(more) {
            found.remove(name);
            expected.remove(name);
        }
        assert_eq!(found, expected, "{way}");
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_reads_its_standard_input() {
    assert!(all_are_as_plain("input").contains("00 ff"));
    assert_eq!(all_are_as_plain("no-input"), "0\n/dev/null\n");
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_inherits_what_it_does_from_a_starter() {
    let (plain, ours) = results("process");
    let text = plain.out();
    assert!(text.contains("descriptors 0 1 2") && text.contains("leads"), "{text}");
    // These may differ: the signals that HTCondor's daemons ignore are not ignored in a job,
    // `glexec` halves the number of processes, and sudo limits an unlimited stack.
    let may_differ = |line: &str| {
        ["SigIgn", "max user proc", "stack size"].iter().any(|start| line.starts_with(start))
    };
    let rest = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !may_differ(line)).map(str::to_owned).collect()
    };
    for (way, result) in ours {
        assert_eq!(result.ended(), End::Exited(0), "{way}: {}", result.read("err"));
        assert_eq!(rest(&result.out()), rest(&text), "{way}");
        let (found, expected) = (ignored(&result.out()), ignored(&text));
        assert_eq!(found & !expected, 0, "{way} ignores signals: {found:x}");
    }
}

/// The signals that the process of this output ignores.
fn ignored(out: &str) -> u64 {
    let line = out.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_reads_the_ads_of_job_and_machine() {
    let (_, ours) = results("ads");
    for (way, result) in ours {
        assert_eq!(result.ended(), End::Exited(0), "{way}: {}", result.read("err"));
        assert!(result.out().contains("Owner = \"submit\""), "{way}: {}", result.out());
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn standard_output_can_be_opened_by_its_path() {
    let out = all_are_as_plain("output-by-path");
    assert!(out.contains("five"), "{out}");
}
