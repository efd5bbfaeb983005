//! Why a payload is not run, in the terms of gLExec's exit statuses.

use std::fmt;
use std::io::Write;

use sys::Errno;

/// What went wrong, for the caller to tell by the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The call: no usable credential, no command, a bad target.
    Client = 201,
    /// This program, or the machine.
    Internal = 202,
    /// Who the credential stands for may not run anything here.
    NotAuthorized = 203,
    /// The payload itself ended with a status of this list.
    Ambiguous = 204,
}

/// One line that says why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    /// Whose fault it is.
    pub status: Status,
    /// Why.
    pub text: String,
}

impl Refusal {
    /// The call is wrong.
    pub fn client(text: impl Into<String>) -> Self {
        Refusal { status: Status::Client, text: text.into() }
    }

    /// The machine is not fit, or this program has failed.
    pub fn internal(text: impl Into<String>) -> Self {
        Refusal { status: Status::Internal, text: text.into() }
    }

    /// The kernel does not allow a step of making a payload another user; with what is known to
    /// stand in the way.
    pub fn forbidden(step: &str, cause: Errno) -> Self {
        let advice = match cause {
            Errno::ENOSPC | Errno::EUSERS => {
                "; there are too many namespaces, or they are too deep: see user.max_user_namespaces and \
                                              the like (namespaces(7))"
                    .to_owned()
            }
            Errno::EPERM | Errno::EACCES if obstacles().is_empty() => {
                "; none of the known settings forbids it: look for a container's seccomp filter or a security module"
                    .to_owned()
            }
            _ => String::new(),
        };
        Refusal::internal(format!("cannot {step}: {cause}{}{advice}", obstacles()))
    }

    /// Tells it through a pipe.
    pub fn tell(&self, pipe: &mut impl Write) {
        // Who does not listen has gone.
        let _ = pipe.write_all(&[&[self.status as u8], self.text.as_bytes()].concat());
    }

    /// What was told through a pipe; none if it ended without a byte.
    pub fn heard(told: &[u8]) -> Option<Self> {
        let (status, text) = told.split_first()?;
        let status = [Status::Client, Status::NotAuthorized]
            .into_iter()
            .find(|known| *known as u8 == *status);
        let text = String::from_utf8_lossy(text).into_owned();
        Some(Refusal { status: status.unwrap_or(Status::Internal), text })
    }
}

/// What this machine has set up against user namespaces of unprivileged users, and who can change
/// it; empty if nothing is known.
pub fn obstacles() -> String {
    let set = |path: &str, value: &str| {
        std::fs::read_to_string(path).is_ok_and(|found| found.trim() == value)
    };
    let known = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("/proc/sys/user/max_pid_namespaces", "0", "user.max_pid_namespaces=10000"),
        ("/proc/sys/user/max_mnt_namespaces", "0", "user.max_mnt_namespaces=10000"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile with userns for this program)",
        ),
    ];
    let standing =
        known.iter().filter(|(path, value, _)| set(path, value)).map(|(_, _, setting)| *setting);
    match standing.collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        settings => format!(
            "; this machine restricts user namespaces, an administrator can change it: sysctl -w {}",
            settings.join(" ")
        ),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// What [`Refusal`]'s functions return.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;
