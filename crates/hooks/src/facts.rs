//! What an epilogue is told about a payload: the variables `GLEXEC_EPILOG_*`.
//!
//! The names are those of gLExec 0.9's page "GLExec Epilogue Functionality", and
//! `GLEXEC_EPILOG_TARGET_PID` of its earlier version. The page does not say where the number of an
//! argument begins: here it is 0, for the payload's own name.

use std::ffi::CString;

use sys::wait::End;
use sys::{Gid, Pid, Uid};

use crate::environment;

/// The beginning of the names. Variables of the payload that begin so are never passed on.
pub(crate) const PREFIX: &[u8] = b"GLEXEC_EPILOG_";

/// Says how many of the payload's arguments are left out, from the last one on. It is not gLExec's.
const OMITTED: &str = "ARGV_OMITTED";

/// How many bytes the arguments may have, with the names of their variables, in the short
/// environment. With the other variables it stays below the 128 KiB that the kernel takes with any
/// limits (execve(2)).
const SHORT: usize = 32 << 10;

/// A user of this machine, as the account database has it.
#[derive(Clone, Debug)]
pub struct Person {
    /// The account's name.
    pub user: Vec<u8>,
    /// The name of its primary group.
    pub group: Vec<u8>,
    /// The user id.
    pub uid: Uid,
    /// The id of the primary group.
    pub gid: Gid,
    /// The ids of the supplementary groups.
    pub supplementary: Vec<Gid>,
}

/// The ids of a process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// The process id.
    pub pid: Pid,
    /// Its session.
    pub session: Pid,
    /// Its process group.
    pub group: Pid,
}

/// A payload that has ended.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its program and arguments.
    pub arguments: Vec<CString>,
    /// Its whole environment, `NAME=VALUE`.
    pub environment: Vec<CString>,
    /// The user that called the switcher.
    pub caller: Person,
    /// The user that the payload ran as.
    pub target: Person,
    /// The switcher's process that has waited for the payload.
    pub switcher: Process,
    /// The payload's process id.
    pub pid: Pid,
    /// The payload's process group.
    pub group: Pid,
    /// How it ended.
    pub end: End,
}

impl Facts {
    /// The environment of the epilogue.
    pub(crate) fn environment(&self) -> Vec<CString> {
        let of_payload = environment::of_script(&self.environment).into_iter();
        let mut environment: Vec<CString> =
            of_payload.filter(|entry| !entry.to_bytes().starts_with(PREFIX)).collect();
        environment.extend(self.variables());
        let numbered = self.arguments.iter().enumerate();
        environment.extend(numbered.map(|(number, text)| argument(number, text)));
        environment
    }

    /// The environment for the case that the other one is too long: without the payload's
    /// variables, and with the first arguments only. Also returns how many arguments are left out.
    pub(crate) fn short_environment(&self) -> (Vec<CString>, usize) {
        let mut environment = environment::fixed();
        environment.extend(self.variables());
        let mut room = SHORT;
        let numbered = self.arguments.iter().enumerate();
        let fitting = numbered.map(|(number, text)| argument(number, text)).take_while(|entry| {
            let left = room.checked_sub(entry.as_bytes_with_nul().len());
            room = left.unwrap_or(room);
            left.is_some()
        });
        let before = environment.len();
        environment.extend(fitting);
        let omitted = self.arguments.len() - (environment.len() - before);
        environment.push(variable(OMITTED, omitted.to_string().as_bytes()));
        (environment, omitted)
    }

    /// All variables of the page but the arguments.
    fn variables(&self) -> Vec<CString> {
        let numbers = [
            ("GLEXEC_PID", self.switcher.pid.as_raw()),
            ("GLEXEC_SID", self.switcher.session.as_raw()),
            ("GLEXEC_PGID", self.switcher.group.as_raw()),
            ("TARGET_PID", self.pid.as_raw()),
            ("TARGET_PGID", self.group.as_raw()),
            ("TARGET_RC", self.end.status()),
        ];
        let mut variables: Vec<CString> = numbers
            .into_iter()
            .map(|(name, number)| variable(name, number.to_string().as_bytes()))
            .collect();
        variables.extend(self.caller.variables("GLEXEC"));
        variables.extend(self.target.variables("TARGET"));
        variables
    }
}

impl Person {
    fn variables(&self, who: &str) -> [CString; 5] {
        let groups: Vec<String> = self.supplementary.iter().map(Gid::to_string).collect();
        let of = |name: &str, value: &[u8]| variable(&format!("{who}_{name}"), value);
        [
            of("USER", &self.user),
            of("GROUP", &self.group),
            of("UID", self.uid.to_string().as_bytes()),
            of("GID", self.gid.to_string().as_bytes()),
            of("SGIDS", groups.join(":").as_bytes()),
        ]
    }
}

fn argument(number: usize, text: &CString) -> CString {
    variable(&format!("ARGV{number}"), text.to_bytes())
}

/// A variable; its value ends before the first NUL, which no account's name has.
fn variable(name: &str, value: &[u8]) -> CString {
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let entry = [PREFIX, name.as_bytes(), b"=", value].concat();
    CString::new(entry).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{CString, End, Facts, Gid, Person, Pid, Process, Uid};

    fn person(user: &str, id: u32, supplementary: &[u32]) -> Person {
        Person {
            user: user.into(),
            group: format!("{user}s").into(),
            uid: Uid::from_raw(id),
            gid: Gid::from_raw(id + 1),
            supplementary: supplementary.iter().copied().map(Gid::from_raw).collect(),
        }
    }

    fn facts(arguments: &[&[u8]]) -> Facts {
        let c_string = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
        Facts {
            arguments: arguments.iter().map(|text| c_string(text)).collect(),
            environment: [&b"HOME=/home/job"[..], b"GLEXEC_ENV=x", b"GLEXEC_EPILOG_TARGET_UID=0"]
                .map(c_string)
                .into(),
            caller: person("batch", 70, &[]),
            target: person("job", 80, &[90, 100]),
            switcher: Process {
                pid: Pid::from_raw(10),
                session: Pid::from_raw(11),
                group: Pid::from_raw(12),
            },
            pid: Pid::from_raw(20),
            group: Pid::from_raw(21),
            end: End::Killed(9),
        }
    }

    /// The entries of gLExec's names.
    fn entries(environment: &[CString]) -> Vec<String> {
        let text = environment.iter().map(|entry| entry.to_string_lossy().into_owned());
        text.filter(|entry| entry.starts_with("GLEXEC_EPILOG_")).collect()
    }

    #[test]
    fn every_variable_of_the_page_is_set_and_those_from_before_are_cleared() {
        let mut found = entries(&facts(&[b"/bin/a", b"x\ny=z"]).environment());
        found.sort();
        let expected = "ARGV0=/bin/a|ARGV1=x\ny=z|GLEXEC_GID=71|GLEXEC_GROUP=batchs|GLEXEC_PGID=12|\
             GLEXEC_PID=10|GLEXEC_SGIDS=|GLEXEC_SID=11|GLEXEC_UID=70|GLEXEC_USER=batch|\
             TARGET_GID=81|TARGET_GROUP=jobs|TARGET_PGID=21|TARGET_PID=20|TARGET_RC=137|\
             TARGET_SGIDS=90:100|TARGET_UID=80|TARGET_USER=job";
        let expected: Vec<_> =
            expected.split('|').map(|entry| format!("GLEXEC_EPILOG_{entry}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_short_environment_has_the_first_arguments_that_fit_and_nothing_of_the_payload() {
        let long = vec![b'x'; 40 << 10];
        let (environment, omitted) = facts(&[b"/bin/a", &long, b"y"]).short_environment();
        let found = entries(&environment);
        assert!(found.contains(&"GLEXEC_EPILOG_ARGV0=/bin/a".to_owned()));
        assert!(found.contains(&"GLEXEC_EPILOG_ARGV_OMITTED=2".to_owned()));
        assert_eq!((omitted, found.len()), (2, 16 + 1 + 1));
        assert!(!environment.iter().any(|entry| entry.to_bytes().starts_with(b"GLEXEC_ENV")));
    }
}
