//! Runs the scripts of a session as a switcher would, for the tests: in a process with one thread.
//! Arguments: the directory of the registry, the directories of the scripts joined by `:`, the
//! timeout in milliseconds, `refuse` or `log`, and the user id of the scripts or `-`.
//!
//! Prints one line for each event: `begun`, after lines of the payload's environment and texts; or
//! `failed`, with the reason. The payload lasts until the end of standard input; a line `suspend`
//! or `continue` there changes it. It exits 3. Then come the lines for the log.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsString;
use std::time::Duration;

use hooks::session::{self, Facts, Outcome, Session, Setup};
use sys::wait::End;
use sys::{Gid, Uid, process, signal};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [registry, directories, timeout, failure, user] = &words[..] else { panic!("{words:?}") };
    let identity = (user != "-").then(|| user.parse().unwrap());
    let setup = Setup {
        directories: directories.split(':').map(Into::into).collect(),
        trusted: identity.into_iter().map(Uid::from_raw).collect(),
        identity: identity.map(|id| (Uid::from_raw(id), Gid::from_raw(id))),
        timeout: Duration::from_millis(timeout.parse().unwrap()),
        refuses: failure == "refuse",
        registry: registry.into(),
    };
    signal::block_all().unwrap();
    let mut notes = session::sweep(&setup).unwrap();
    let facts = Facts {
        id: session::new_id(),
        since: session::now(),
        caller: "batch".into(),
        user: "job".into(),
        uid: Uid::from_raw(61_020),
        gid: Gid::from_raw(61_021),
        home: "/home/job".into(),
        command: session::command_line(&["/bin/payload", "with words"]),
        sandbox: "/sandbox".into(),
        credential: "/sandbox.condor/proxy".into(),
        pid: process::getpid(),
    };
    match Session::begin(setup, facts, &mut notes).unwrap() {
        Err(failed) => println!("failed {}", failed.why),
        Ok((mut session, changes)) => {
            let mut environment: Vec<OsString> = vec!["OLD=1".into()];
            changes.apply(&mut environment);
            for text in environment.iter().chain(&changes.print) {
                println!("{}", text.to_str().unwrap());
            }
            println!("begun");
            for line in std::io::stdin().lines() {
                session.changed(line.unwrap() == "continue");
            }
            session.end(Outcome::Ended(End::Exited(3)), &mut notes);
        }
    }
    for note in notes {
        println!("note {note}");
    }
}
