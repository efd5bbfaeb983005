//! Runs an epilogue as a switcher would, for the tests: in a process with one thread. Arguments:
//! its path, its user id, its group id or `-`, its limit in milliseconds, and a payload's
//! arguments. The payload's environment is that of this process. Prints the status or `-`, the
//! log line, and what a check before says.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use hooks::epilogue::Epilogue;
use hooks::facts::{Facts, Person, Process};
use sys::wait::End;
use sys::{Gid, Pid, Uid, process};

fn main() {
    let mut words = std::env::args_os().skip(1);
    let mut next = || words.next().unwrap();
    let number = |word: OsString| word.to_str().unwrap().parse().unwrap();
    let (path, user, group, limit) = (next(), next(), next(), next());
    let epilogue = Epilogue {
        path: path.into(),
        user: Uid::from_raw(number(user)),
        group: (group != "-").then(|| Gid::from_raw(number(group))),
        timeout: Duration::from_millis(number(limit).into()),
    };
    let c_string = |bytes: &[u8]| CString::new(bytes).unwrap();
    let environment = std::fs::read("/proc/self/environ").unwrap();
    let entries = environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let person = |user: &str, id, supplementary: &[u32]| Person {
        user: user.into(),
        group: format!("{user}-group").into(),
        uid: Uid::from_raw(id),
        gid: Gid::from_raw(id + 1),
        supplementary: supplementary.iter().copied().map(Gid::from_raw).collect(),
    };
    let facts = Facts {
        arguments: words.map(|word| c_string(&word.into_vec())).collect(),
        environment: entries.map(c_string).collect(),
        caller: person("batch", 61_010, &[7, 8, 9]),
        target: person("job", 61_020, &[]),
        switcher: Process {
            pid: process::getpid(),
            session: Pid::from_raw(31),
            group: Pid::from_raw(32),
        },
        pid: Pid::from_raw(41),
        group: Pid::from_raw(42),
        end: End::Killed(15),
    };
    let check = epilogue.check().map_or_else(|error| error.to_string(), |()| "trusted".to_owned());
    let outcome = epilogue.run(&facts);
    let status = outcome.status().map_or("-".to_owned(), |status| status.to_string());
    println!("{status}\n{outcome}\n{check}");
}
