//! `glexec_accounts allow` and `deny`: which users may ask for accounts.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use command::program::{Options, Program, VERSION};
use command::refusal::{Refusal, Result};
use command::{accounts, executable, groups};
use error::Shown;
use root::accounts::clients::{self, Clients};
use root::accounts::edit;

use crate::call::{answer, configuration, make_directory, operands};

/// The group whose members can connect to the socket (glexecd.socket).
const GROUP: &str = "glexec";

/// The options and the help text of `allow`.
pub const ALLOW: Program = Program {
    name: "glexec_accounts allow",
    about: "Lets users ask the account daemon for accounts.",
    arguments: "<user>...",
    operations: &[],
    options: &[VERSION],
    text: "\
Each user is added to /etc/glexec/clients, and as a member to the group glexec,
which can connect to the socket; the group is made if it does not exist. A
process of the user that runs already is not in the group: start it again.

Exit status: 0; 1 a user does not exist, or could not be added.
",
};

/// The options and the help text of `deny`.
pub const DENY: Program = Program {
    name: "glexec_accounts deny",
    about: "Takes the right to ask for accounts from users.",
    arguments: "<user>...",
    operations: &[],
    options: &[VERSION],
    text: "\
Each user is removed from /etc/glexec/clients. From then on it gets no payload.
Payloads that run go on: glexec_accounts release ends them. The user stays a
member of the group glexec, which allows nothing else.

Exit status: 0; 1 a user is not in the list.
",
};

/// Runs `allow`, or `deny`.
pub(crate) fn run(options: &Options, allows: bool) -> Result<()> {
    let program = if allows { &ALLOW } else { &DENY };
    let words = operands(options, program, 1, usize::MAX)?;
    let users: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    configuration()?;
    match allows {
        true => allow(&users),
        false => deny(&users),
    }
}

fn allow(users: &[Vec<u8>]) -> Result<()> {
    for user in users {
        if accounts::named(user)?.is_none() {
            return Err(Refusal::client(format!("there is no account {}", Shown(user))));
        }
    }
    make_directory()?;
    let path = Path::new(Clients::PATH);
    edit::change(path, Clients::FIRST, |text| {
        clients::add(text, path, users).map_err(|bad| Refusal::client(bad.to_string()))
    })?;
    if groups::named(GROUP.as_bytes())?.is_none() {
        call("groupadd", &[b"--system", GROUP.as_bytes()])?;
    }
    for user in users {
        let is_member =
            groups::named(GROUP.as_bytes())?.is_some_and(|group| group.members.contains(user));
        if !is_member {
            call("usermod", &[b"--append", b"--groups", GROUP.as_bytes(), b"--", user])?;
        }
        answer(&format!(
            "{} can ask for accounts{}\n",
            Shown(user),
            if is_member { "" } else { "; start its processes again" }
        ));
    }
    Ok(())
}

fn deny(users: &[Vec<u8>]) -> Result<()> {
    let path = Path::new(Clients::PATH);
    let count = edit::change(path, Clients::FIRST, |text| {
        clients::remove(text, path, users).map_err(|bad| Refusal::client(bad.to_string()))
    })?;
    answer(&format!("{count} users cannot ask for accounts any more\n"));
    match count < users.len() {
        true => Err(Refusal::client(format!("{}: not all of them were in it", Clients::PATH))),
        false => Ok(()),
    }
}

/// Runs a program of the system. The error has what it said.
fn call(program: &str, words: &[&[u8]]) -> Result<()> {
    let failed = |why: String| Refusal::internal(format!("{program}: {why}"));
    let path = executable::of_system(program).map_err(failed)?;
    let output = Command::new(path)
        .args(words.iter().map(|word| std::ffi::OsStr::from_bytes(word)))
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(Shown(output.stderr.trim_ascii()).to_string())),
    }
}
