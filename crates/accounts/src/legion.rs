//! Three commands under the names and with the usage of Legion (System Administrator Manual,
//! "Process control daemon host objects"): an account with an owner is his, one without is a guest
//! account. The host is this machine.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use command::program::{Program, VERSION};
use command::refusal::{Refusal, Result};
use error::Shown;

use crate::call::require_root;
use crate::{add, list, remove};

const TEXT: &str = "\
The usage is Legion's. A host can be named, by -c /hosts/<name> or -l <name>,
and must be this machine. The owner is the subject of a proxy
(/C=.../O=.../CN=...) or the name of an account that asks the daemon; -c and -l
before it have no other meaning. glexec_accounts(8) does the same and more.

Exit status: 0; 1 nothing was done (the message says why).
";

/// The program that adds an account.
pub const ADD: Program = Program {
    name: "legion_add_host_account",
    about: "Adds an account to the list of the account daemon.",
    arguments: "[-c <host> | -l <host>] <account> [-c <owner> | -l <owner> | <owner>]",
    operations: &[],
    options: &[VERSION],
    text: TEXT,
};

/// The program that removes an account.
pub const REMOVE: Program = Program {
    name: "legion_remove_host_account",
    about: "Removes an account from the list of the account daemon.",
    arguments: "[-c <host> | -l <host>] <account>",
    operations: &[],
    options: &[VERSION],
    text: TEXT,
};

/// The program that lists the accounts.
pub const LIST: Program = Program {
    name: "legion_list_host_accounts",
    about: "Lists the accounts of the account daemon.",
    arguments: "[-c <host> | -l <host>]",
    operations: &[],
    options: &[VERSION],
    text: TEXT,
};

/// Whether a program of this name is one of Legion's.
pub(crate) fn is_name(name: &OsStr) -> bool {
    [&ADD, &REMOVE, &LIST].iter().any(|program| name == program.name)
}

/// Runs the program of this name.
pub(crate) fn run(name: &OsStr, words: Vec<OsString>) -> Result<()> {
    let program = match () {
        () if name == ADD.name => &ADD,
        () if name == REMOVE.name => &REMOVE,
        () => &LIST,
    };
    let asks =
        |word: &OsString| matches!(word.to_str(), Some("-h" | "--help" | "-V" | "--version"));
    if words.first().is_some_and(asks) {
        program.read_words(words).map_err(Refusal::client)?;
        return Ok(());
    }
    let call = Call::read(&words).ok_or_else(|| Refusal::client(program.usage()))?;
    require_root()?;
    if let Some(host) = call.host {
        require_here(host)?;
    }
    match (program.name, call.account, call.owner) {
        (name, Some(account), owner) if name == ADD.name => {
            add::account(account.as_bytes(), owner.map(OsStr::as_bytes), false)
        }
        (name, Some(account), None) if name == REMOVE.name => {
            remove::accounts(&[account.as_bytes().to_vec()], false)
        }
        (name, None, None) if name == LIST.name => list::legion(),
        _ => Err(Refusal::client(program.usage())),
    }
}

/// The words of a call.
#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    host: Option<&'a OsStr>,
    account: Option<&'a OsStr>,
    owner: Option<&'a OsStr>,
}

impl Call<'_> {
    /// Reads the words; none if they are not of the usage.
    fn read(words: &[OsString]) -> Option<Call<'_>> {
        let is_option = |word: &&OsString| *word == "-c" || *word == "-l";
        let mut words = words.iter().peekable();
        let host = match words.next_if(is_option) {
            Some(_) => Some(words.next()?.as_os_str()),
            None => None,
        };
        let account = words.next().map(OsString::as_os_str);
        let is_named = words.next_if(is_option).is_some();
        let owner = words.next().map(OsString::as_os_str);
        let is_complete = words.next().is_none() && (owner.is_some() || !is_named);
        let is_word = |word: &OsStr| !word.as_bytes().starts_with(b"-");
        let are_words = [account, owner].into_iter().flatten().all(is_word);
        (is_complete && are_words).then_some(Call { host, account, owner })
    }
}

/// Refuses a host that is not this machine: the account would be added to another one than meant.
fn require_here(host: &OsStr) -> Result<()> {
    let name = host.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let here = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let here = here.trim_ascii_end();
    let first = |name: &[u8]| name.split(|byte| *byte == b'.').next().map(<[u8]>::to_vec);
    if name == b"localhost" || name == here || first(name) == first(here) {
        return Ok(());
    }
    Err(Refusal::client(format!(
        "{} is not this machine ({}): run it there",
        Shown::os(host),
        Shown(here)
    )))
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use super::Call;

    fn read(words: &str) -> Option<[String; 3]> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        let text = |word: Option<&OsStr>| word.unwrap_or_default().to_string_lossy().into_owned();
        Call::read(&words).map(|call| [text(call.host), text(call.account), text(call.owner)])
    }

    #[test]
    fn the_usage_is_that_of_legion() {
        let call = |words: [&str; 3]| Some(words.map(str::to_owned));
        let whole = "-c /hosts/myPCDhost unixJohn -c /users/john";
        assert_eq!(read(whole), call(["/hosts/myPCDhost", "unixJohn", "/users/john"]));
        assert_eq!(read("-l 1.2.3 unixJohn"), call(["1.2.3", "unixJohn", ""]));
        assert_eq!(read("unixJohn john"), call(["", "unixJohn", "john"]));
        assert_eq!(read("unixJohn"), call(["", "unixJohn", ""]));
        assert_eq!(read("-c here"), call(["here", "", ""]));
        assert_eq!(read(""), call(["", "", ""]));
        for wrong in ["-c", "a -c", "a b c", "a -c b c", "-x a", "-c h -c o", "a -x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
