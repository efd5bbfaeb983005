//! Files of a job, both ways.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::batch::results;
use crate::fixture::{End, Job};

/// Reads and changes input, and makes new files.
const WORK: &str = r#"
set -e
cat data deep/er/file >sum
ls -lR . | sed 's/ [^ ]* [^ ]* *[0-9]* [A-Z].* / /' |
    grep -E ' (data|tool|deep|er|file|empty)$' | awk '{print $1, $NF}' | sort
echo changed >>data
mkdir -p new/sub new/void
printf 'new\0\377' >new/sub/file
ln -s sub/file new/link
touch ./-odd 'two words'
chmod 750 new/sub/file
dd if=/dev/zero of=large bs=1M count=20 status=none
"#;

/// Begins again after two checkpoints.
const CHECKPOINTS: &str = r#"
count=$(($(cat count 2>/dev/null || echo 0) + 1))
echo $count >count
pwd >>places
[ $count = 3 ] || exit 85
sort -u places | wc -l
"#;

const CHIRP: &str = r#"
PATH=$PATH:/usr/libexec/condor:$(dirname "$_CONDOR_BIN")/libexec/condor
set -e
condor_chirp set_job_attr Colour '"red"'
condor_chirp get_job_attr Colour
condor_chirp fetch there here
cat here
echo put >file
condor_chirp put file put
condor_chirp ulog 'a line in the log'
"#;

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("files", WORK).with("transfer_input_files = data, deep, tool, empty").and(&[
            ("data", b"data\n"),
            ("deep/er/file", b"deep\n"),
            ("tool", b"#!/bin/sh\n"),
            ("empty/.keep", b""),
        ]),
        Job::new("chosen", "mkdir -p tree/void; echo 1 >tree/a; echo 2 >b; echo 3 >unwanted")
            .with("transfer_output_files = tree, b"),
        Job::new("remapped", "echo 1 >a; echo 2 >b")
            .with("transfer_output_remaps = \"a=renamed; b=sub/b\"\ntransfer_output_files = a, b")
            .and(&[("sub/keep", b"")]),
        Job::new("empty-output", "mkdir void; touch empty")
            .with("transfer_output_files = void, empty"),
        Job::new("checkpoints", CHECKPOINTS)
            .with("checkpoint_exit_code = 85\ntransfer_checkpoint_files = count, places"),
        Job::new("chirp", CHIRP).with("+WantIOProxy = True").and(&[("there", b"fetched\n")]),
        Job::new("shared-link", "echo one >a; ln a b; ln -s a c"),
    ]
}

/// The files of a job's directory, with modes and contents; without those that every job has.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            let known = fs::symlink_metadata(&path).unwrap();
            let kind = format!("{:?} {:o}", known.file_type(), known.permissions().mode());
            let content = if known.is_dir() {
                waiting.push(path);
                String::new()
            } else {
                format!("{} bytes {:x}", known.size(), sum(&fs::read(&path).unwrap_or_default()))
            };
            found.insert(name, format!("{kind} uid {} {content}", known.uid()));
        }
    }
    for name in ["job", "submit", "out", "err", "log"] {
        found.remove(name);
    }
    found
}

/// A checksum (FNV-1a).
fn sum(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn same_files(name: &str) -> BTreeMap<String, String> {
    let (plain, ours) = results(name);
    assert_eq!(plain.ended(), End::Exited(0), "{name}: {}", plain.read("err"));
    let expected = tree(&plain.dir);
    for (way, result) in ours {
        assert_eq!(result.ended(), End::Exited(0), "{name}, {way}: {}", result.read("err"));
        assert_eq!(tree(&result.dir), expected, "{name}, {way}");
        assert_eq!(result.out(), plain.out(), "{name}, {way}");
    }
    expected
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn files_reach_a_job_and_its_submitter_as_without_the_wrapper() {
    let files = same_files("files");
    assert!(files.contains_key("sum") && files.contains_key("large"), "{files:?}");
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn chosen_and_renamed_output_and_empty_directories_come_back_as_without_the_wrapper() {
    assert!(same_files("chosen").contains_key("tree/a"));
    assert!(same_files("remapped").contains_key("renamed"));
    assert!(same_files("empty-output").contains_key("empty"));
    same_files("shared-link");
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_that_exits_for_a_checkpoint_goes_on_in_its_directory() {
    let (plain, ours) = results("checkpoints");
    for (way, result) in [("none", plain)].into_iter().chain(ours) {
        assert_eq!(result.ended(), End::Exited(0), "{way}: {}", result.read("err"));
        assert_eq!(result.out(), "1\n", "{way}: not one directory");
        assert_eq!(result.read("count"), "3\n", "{way}");
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_speaks_with_its_submitter_through_chirp() {
    let files = same_files("chirp");
    assert!(files.contains_key("put"), "{files:?}");
    let (_, ours) = results("chirp");
    for (way, result) in ours {
        assert!(result.out().contains("fetched"), "{way}: {}", result.out());
        assert!(result.log().contains("a line in the log"), "{way}: {}", result.log());
    }
}
