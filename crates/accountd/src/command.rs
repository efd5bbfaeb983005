//! The command line of `glexecd`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use cgroup::Cgroup;
use command::program::{Options, Program, VERSION, flag, option, print};
use command::refusal::{Refusal, Result, Status};
use command::{Parsed, say};
use root::accounts::audit;
use root::log::{Level, Log};
use sys::rlimit::SavedLimits;
use sys::{Errno, environment, process, signal, stdio};

use crate::acceptor::Acceptor;
use crate::files::Files;
use crate::listen;
use crate::supervisor::{configuration, without_effect};

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexecd",
    about: "Runs payloads of listed clients as accounts on lease.",
    arguments: "[--listen <path> [--group <name>]] [--delegated]",
    operations: &[],
    options: &[
        option("listen", "<path>", "Make the socket at this path (default: systemd's)"),
        option("group", "<name>", "The group whose members can connect to that socket"),
        option("delegated", "", "The cgroup of this process is delegated to it: use it"),
        flag(VERSION.short, VERSION.long, VERSION.help),
    ],
    text: "\
glexecd runs as root. glexec is its client: it sends the command, its
environment, its working directory and its standard streams through a socket.
Only the users in /etc/glexec/clients may ask. The command runs as the account
in /etc/glexec/accounts that the credential's identity owns, or else as a guest
account, which is leased to the credential. glexec.conf(5) has the other rules;
without that file a credential is known by its caller and its path
(mapping = caller).

A payload goes on when the daemon is stopped, restarted or killed. Leases are
files in /run/glexec; glexec_accounts(8) lists and ends them.

Without --listen the socket is one that systemd passes (LISTEN_FDS,
sd_listen_fds(3)). With --delegated each payload gets a cgroup below that of the
daemon: for a unit with Delegate=yes.

Exit status: 0 after SIGTERM; 201 usage error; 202 the daemon cannot serve (the
message says why).
",
};

/// What the command line says.
struct Settings {
    listen: Option<PathBuf>,
    group: Option<OsString>,
    is_delegated: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let settings = match read() {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(refusal) => return refused(&refusal),
    };
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> ExitCode {
    say(PROGRAM.name, refusal);
    ExitCode::from(refusal.status as u8)
}

/// Reads the command line; none if it asked for a text, which was printed.
fn read() -> Result<Option<Settings>> {
    let options = match PROGRAM.read(std::env::args_os().skip(1)).map_err(Refusal::client)? {
        Parsed::Words(words) if words.is_empty() => Options::default(),
        Parsed::Words(_) => return Err(Refusal::client(PROGRAM.usage())),
        Parsed::Options(options) if options.command().is_empty() => options,
        Parsed::Options(_) => return Err(Refusal::client(PROGRAM.usage())),
        Parsed::Help => {
            print(&PROGRAM.help());
            return Ok(None);
        }
        Parsed::Option(_) => {
            print(&PROGRAM.version());
            return Ok(None);
        }
    };
    Ok(Some(Settings {
        listen: options.get("listen").map(PathBuf::from),
        group: options.get("group").map(Into::into),
        is_delegated: options.get("delegated").is_some(),
    }))
}

fn serve(settings: &Settings) -> Result<()> {
    let failed = |step: &'static str| {
        move |cause: Errno| Refusal::internal(format!("cannot {step}: {cause}"))
    };
    if !process::geteuid().is_root() {
        return Err(Refusal::new(Status::Internal, "it must run as root"));
    }
    let passed = listen::Passed::from_environment();
    environment::take().map_err(failed("empty the environment"))?;
    SavedLimits::repair().map_err(failed("raise the limits of this process"))?;
    stdio::open_missing().map_err(failed("open the null device"))?;
    process::umask(0o077);
    signal::block_all().map_err(failed("block the signals"))?;
    signal::reset_actions();
    signal::ignore_sigpipe();
    let listener = match &settings.listen {
        Some(path) => listen::at(path, settings.group.as_deref())?,
        None => passed.adopt()?,
    };
    let cgroup = match settings.is_delegated {
        true => Some(Cgroup::delegated().map_err(|error| {
            Refusal::internal(format!("{error}: leave out --delegated, or delegate a group"))
        })?),
        false => None,
    };
    let config = configuration()?;
    if let Some(keys) = without_effect() {
        let why = "has no effect here: what a payload has started always ends with it";
        Log::new(&config).write(Level::Warning, format_args!("{keys} {why}"));
        say(PROGRAM.name, format!("{keys} in glexec.conf(5) {why}"));
    }
    audit::set_file(config.audit_file.clone());
    let (files, read) = Files::read();
    if let Err(refusal) = read {
        // It serves: an administrator can correct the file meanwhile.
        say(PROGRAM.name, &refusal);
        Log::new(&config).write(Level::Error, &refusal);
    }
    Acceptor::new(listener, files, cgroup, config)?.run()
}
