//! Changes the owner of a tree for the tests, as `glexec` does: in a user namespace in which the
//! batch user is 0 and one subordinate id is 1. Arguments: that id, what to do, the tree, and the
//! policy for links; `running` at the end if a process of the job may run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use sys::fork::{self, Fork};
use sys::{Dir, Gid, Owner, Uid, fd, process};
use tree::Place;
use tree::owner::{self, Direction, Ids, Job, Policy};
use wire::Links;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [id, what, directory, rest @ ..] = &words[..] else {
        panic!("usage: owner ID WHAT DIRECTORY [LINKS]")
    };
    let policy = rest.first().copied().unwrap_or("copy");
    let running = rest.contains(&"running");
    if *what == "link-targets" {
        return told(link_targets(Path::new(directory)));
    }
    let (mut ready, mut go) = fd::pipe().unwrap();
    match fork::fork_into_new_user_namespace().unwrap() {
        Fork::Child => {
            drop(go);
            ready.read_exact(&mut [0]).unwrap();
            std::process::exit(match told(change(what, Path::new(directory), policy, running)) {
                code if code == ExitCode::SUCCESS => 0,
                _ => 1,
            });
        }
        Fork::Parent(pid) => {
            let (pid, id) = (pid.to_string(), (*id).to_owned());
            for (program, own) in
                [("newuidmap", process::geteuid().to_string()), ("newgidmap", group())]
            {
                let mut map = Command::new(program);
                map.args([&pid, "0", &own, "1", "1", &id, "1"]);
                assert!(map.status().unwrap().success(), "{program}");
            }
            go.write_all(b"x").unwrap();
            drop(go);
            let pid = sys::Pid::from_raw(pid.parse().unwrap());
            match nix::sys::wait::waitpid(pid, None).unwrap() {
                nix::sys::wait::WaitStatus::Exited(_, 0) => ExitCode::SUCCESS,
                nix::sys::wait::WaitStatus::Exited(..) => ExitCode::FAILURE,
                _ => ExitCode::from(137),
            }
        }
    }
}

fn group() -> String {
    Gid::effective().to_string()
}

fn told(done: error::Result<String>) -> ExitCode {
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let kind =
                if matches!(error, error::Error::Refused { .. }) { "refused" } else { "failed" };
            eprintln!("{kind}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn change(what: &str, directory: &Path, policy: &str, running: bool) -> error::Result<String> {
    let owner = |id| Owner { uid: Uid::from_raw(id), gid: Gid::from_raw(id) };
    let ids = Ids::new(owner(0), owner(1))?;
    let place = Place::find(directory)?;
    let path: &OsStr = directory.as_os_str();
    let top = place.parent.open_dir(place.name.name()).unwrap();
    let mut heartbeat = || ();
    let links = match policy {
        "keep" => Links::Keep,
        "drop" => Links::Drop,
        _ => Links::Copy,
    };
    let job = if running { Job::MayRun } else { Job::Ended };
    let mode = top.stat_self().unwrap().mode();
    match what {
        "scan-give" => owner::scan(top, path, &ids, Direction::Give, &mut heartbeat)
            .map(|scan| format!("{scan:?}")),
        "scan-take" => owner::scan(top, path, &ids, Direction::Take, &mut heartbeat)
            .map(|scan| format!("{scan:?}")),
        "give" => {
            let scan = owner::scan(again(&top), path, &ids, Direction::Give, &mut heartbeat)?;
            top.set_mode(0o700).unwrap();
            owner::give(again(&top), path, &ids, &mut heartbeat)?;
            owner::commit(&top, path, &ids, mode)?;
            Ok(format!("{scan:?}"))
        }
        // Without the last step, as after a crash.
        "begin" => {
            top.set_mode(0o700).unwrap();
            owner::give(top, path, &ids, &mut heartbeat).map(|_| String::new())
        }
        "undo" => owner::undo(top, path, &ids, &place, &mut heartbeat).map(|_| String::new()),
        "take" => {
            owner::scan(again(&top), path, &ids, Direction::Take, &mut heartbeat)?;
            let policy = Policy::Return(links, job);
            owner::take(top, path, &ids, policy, &place, &mut heartbeat)
                .map(|taken| format!("{taken:?}"))
        }
        // Without looking at the tree before: what a job changes after that.
        "take-unread" => {
            let policy = Policy::Return(links, job);
            owner::take(top, path, &ids, policy, &place, &mut heartbeat)
                .map(|taken| format!("{taken:?}"))
        }
        _ => panic!("{what:?} is not known"),
    }
}

fn again(top: &Dir) -> Dir {
    top.try_clone().unwrap()
}

fn link_targets(directory: &Path) -> error::Result<String> {
    let place = Place::find(directory)?;
    let top = place.parent.open_dir(place.name.name()).unwrap();
    owner::copy_link_targets(top, directory.as_os_str(), &place, &mut || ())
        .map(|replaced| format!("replaced {replaced}"))
}
