//! The environment of a script: what is left of a payload's when nothing remains that a loader or
//! an interpreter obeys.
//!
//! The payload's environment comes from a user who is not trusted. A script may run as root, and is
//! executed by a shell or another interpreter; each program that it calls is loaded, and looks up
//! files, messages and servers. Many of these steps can be redirected by a variable. The lists are
//! made from the variables that the C library ignores in set-user-ID programs (ld.so(8),
//! secure_getenv(3)), from those that sudo removes (sudoers(5)), and from the manuals of the
//! interpreters.

use std::collections::HashSet;
use std::ffi::{CStr, CString};

/// Where a script's programs are searched for, as gLExec's epilogue has it.
const PATH: &CStr = c"PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// No home directory. That of the payload's account belongs to the payload: an interpreter executes
/// files below it (Python: its user site). The root directory in its place would make a
/// `rm -rf "$HOME"/*` remove everything.
const HOME: &CStr = c"HOME=/nonexistent";

/// The shell that programs start.
const SHELL: &CStr = c"SHELL=/bin/sh";

/// Beginnings of names, by those who obey them: the loader and the C library; shells (exported
/// functions of bash among them); interpreters; libraries that load modules or read their
/// configuration from a named file; programs that execute what they name, or write where they say.
const PREFIXES: [&str; 5] = [
    "LD_ _RLD GLIBC_ GCONV MALLOC_ RES_ RESOLV_",
    "BASH KSH ZSH",
    "PERL PYTHON RUBY GEM_ BUNDLE_ LUA TCL NODE_ DENO_ PHP JAVA _JAVA JDK_ AWK GAWK GUILE R_ MAKE",
    "OPENSSL GNUTLS_ P11_ NSS_ KRB5 SASL_ LDAP GIO_ GTK_ QT_ DBUS_ XDG_ SYSTEMD_",
    "GIT_ LESS SUDO_ SSH_ TERM ASAN_ LSAN_ MSAN_ TSAN_ UBSAN_",
];

/// Whole names: those that are fixed; of the C library; of the directories for temporary files,
/// where a payload could replace them; of shells; of programs.
const NAMES: [&str; 6] = [
    "PATH HOME SHELL",
    "GETCONF_DIR HOSTALIASES LOCALDOMAIN LOCPATH NIS_PATH NLSPATH PATH_LOCALE TZDIR OUTPUT_CHARSET \
     LIBPATH SHLIB_PATH POSIXLY_CORRECT AUTHSTATE",
    "TMPDIR TMP TEMP TEMPDIR TMPPREFIX",
    "IFS ENV CDPATH SHELLOPTS GLOBIGNORE FPATH FIGNORE FCEDIT NULLCMD READNULLCMD ZDOTDIR PS1 PS2 \
     PS4 PROMPT_COMMAND MAILPATH OPTIND PWD OLDPWD",
    "CLASSPATH PAGER MANPAGER EDITOR VISUAL BROWSER INPUTRC SCREENRC CURL_HOME WGETRC NETRC",
    "GNUPGHOME RSYNC_RSH CVS_RSH RSH TAR_OPTIONS GREP_OPTIONS XZ_OPT",
];

/// Names and beginnings of names of the variables that choose a language or a time zone. These are
/// kept unless the value can be a path or a format.
const LOCALE_NAMES: [&str; 1] = ["LANG LANGUAGE LINGUAS TZ"];
const LOCALE_PREFIX: &[u8] = b"LC_";

/// The environment of a script that runs around a payload with the environment `payload`, whose
/// entries are `NAME=VALUE`.
///
/// An entry is left out if its name is not one of a shell's variables (a letter or `_`, then
/// letters, digits and `_`), if a loader or interpreter obeys the variable, if its value begins as
/// a function of old versions of bash (`() {`), or if an earlier entry has the same name. A value
/// may hold any bytes, with newlines. PATH is fixed, HOME is a directory that does not exist, and
/// SHELL is /bin/sh.
pub fn of_script(payload: &[CString]) -> Vec<CString> {
    let mut environment = fixed();
    let mut names = HashSet::new();
    for entry in payload {
        let mut parts = entry.to_bytes().splitn(2, |byte| *byte == b'=');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if is_variable(name) && !is_obeyed(name, value) && names.insert(name) {
            environment.push(entry.clone());
        }
    }
    environment
}

/// The part of every script's environment that does not come from a payload.
pub fn fixed() -> Vec<CString> {
    [PATH, HOME, SHELL].map(CStr::to_owned).into()
}

/// Whether a name is one that a shell can assign to: a letter or `_`, then letters, digits and `_`.
pub(crate) fn is_variable(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(is_letter)
        && name.iter().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Whether the loader or the C library obeys a variable, in every program.
pub(crate) fn is_loaders(name: &[u8]) -> bool {
    has(&PREFIXES[..1], |word| name.starts_with(word))
}

fn is_obeyed(name: &[u8], value: &[u8]) -> bool {
    let is_locale = has(&LOCALE_NAMES, |word| word == name) || name.starts_with(LOCALE_PREFIX);
    has(&NAMES, |word| word == name)
        || has(&PREFIXES, |word| name.starts_with(word))
        || value.starts_with(b"()")
        || is_locale && value.iter().any(|byte| matches!(byte, b'/' | b'%'))
}

/// Whether a word of these lines is the one.
fn has(lines: &[&str], is_it: impl Fn(&[u8]) -> bool) -> bool {
    lines.iter().flat_map(|line| line.split(' ')).any(|word| is_it(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::of_script;

    /// What is left of an entry.
    fn left(entry: &[u8]) -> Option<Vec<u8>> {
        let entry = CString::new(entry).unwrap_or_default();
        of_script(&[entry]).into_iter().nth(3).map(CString::into_bytes)
    }

    #[test]
    fn what_a_loader_or_an_interpreter_obeys_is_left_out() {
        let names = "LD_PRELOAD LD_DEBUG GLIBC_TUNABLES GCONV_PATH LOCPATH BASH_ENV ENV IFS \
             PERL5LIB PERL5OPT PYTHONPATH PYTHONSTARTUP RUBYOPT TMPDIR NODE_OPTIONS \
             JAVA_TOOL_OPTIONS \
             OPENSSL_CONF PS4 SHELLOPTS CDPATH PATH HOME SHELL TZDIR TERMINFO GIT_SSH_COMMAND \
             XDG_CONFIG_HOME HOSTALIASES GNUPGHOME";
        for name in names.split(' ') {
            assert_eq!(left(format!("{name}=x").as_bytes()), None, "{name}");
        }
        for entry in
            [&b"BASH_FUNC_ls%%=() { id; }"[..], b"x=() { :; }; id", b"LANG=/tmp/x", b"TZ=:/tmp/x"]
        {
            assert_eq!(left(entry), None, "{}", entry.escape_ascii());
        }
    }

    #[test]
    fn an_entry_that_is_no_variable_is_left_out() {
        for entry in
            [&b""[..], b"name", b"=x", b"=", b"a b=x", b"a\nb=x", b"1a=x", b"a-b=x", b"\xff=x"]
        {
            assert_eq!(left(entry), None, "{}", entry.escape_ascii());
        }
    }

    #[test]
    fn any_other_variable_stays_whatever_its_value_holds() {
        for entry in [
            &b"GLEXEC_ENV=e30="[..],
            b"X509_USER_PROXY=/tmp/x509up_u1",
            b"USER=job",
            b"LANG=de_DE.UTF-8",
            b"LC_ALL=C",
            b"TZ=CET",
            b"empty=",
            b"lines=a\nLD_PRELOAD=x\n=b\xff",
        ] {
            assert_eq!(left(entry).as_deref(), Some(entry), "{}", entry.escape_ascii());
        }
    }

    #[test]
    fn path_home_and_shell_are_fixed_and_a_name_comes_once() {
        let payload = ["a=1", "PATH=/tmp", "a=2", "HOME=/home/job"];
        let payload = payload.map(|entry| CString::new(entry).unwrap_or_default());
        let environment = of_script(&payload);
        let environment: Vec<_> = environment.iter().map(|entry| entry.to_bytes()).collect();
        let expected = [
            &b"PATH=/usr/sbin:/usr/bin:/sbin:/bin"[..],
            b"HOME=/nonexistent",
            b"SHELL=/bin/sh",
            b"a=1",
        ];
        assert_eq!(environment, expected);
    }
}
