//! The environment of a payload.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use command::accounts::Account;
use command::payload::Proxy;

use crate::config::{Config, is_never_preserved};
use crate::sanitize::Variables;

/// These variables are for the memory allocator of the caller's programs.
const OF_ALLOCATOR: &[u8] = b"MALLOC_";

/// What the account and the configuration decide.
const SET: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "X509_USER_PROXY"];

/// The whole environment of a payload, as `NAME=VALUE`: `GLEXEC_*` and `preserve_env_variables` of
/// the caller's, with exceptions; what the account says; and where the target proxy is, if there is
/// one.
pub fn of(
    caller: &Variables,
    account: &Account,
    proxy: Option<&Proxy>,
    config: &Config,
) -> Vec<OsString> {
    let kept = caller.iter().filter(|(name, _)| is_kept(name, &config.preserve_env_variables));
    let mut environment: Vec<OsString> =
        kept.map(|(name, value)| entry(name.as_bytes(), value.as_bytes())).collect();
    environment.extend([
        entry(b"HOME", account.home.as_os_str().as_bytes()),
        entry(b"USER", &account.name),
        entry(b"LOGNAME", &account.name),
        entry(b"SHELL", account.shell.as_os_str().as_bytes()),
        entry(b"PATH", config.path.as_bytes()),
    ]);
    environment.extend(proxy.map(Proxy::variable));
    environment
}

/// Whether the payload gets a variable of the caller's.
fn is_kept(name: &OsStr, preserved: &[OsString]) -> bool {
    let bytes = name.as_bytes();
    let never = is_never_preserved(bytes)
        || bytes.starts_with(OF_ALLOCATOR)
        || SET.iter().any(|set| name == *set);
    !never && (bytes.starts_with(b"GLEXEC_") || preserved.iter().any(|other| other == name))
}

fn entry(name: &[u8], value: &[u8]) -> OsString {
    OsStr::from_bytes(&[name, b"=", value].concat()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Config, Variables, of};
    use crate::test_account::account;

    #[test]
    fn a_payload_gets_glexecs_variables_the_preserved_ones_and_those_of_its_account() {
        let preserved = ["KEPT", "MALLOC_CHECK_", "GLEXEC_STATE_DIR", "HOME", "GLEXEC_EPILOG_A"];
        let config = Config {
            preserve_env_variables: preserved.map(Into::into).into(),
            ..Config::default()
        };
        let caller = [
            ("GLEXEC_ENV", "e"),
            ("GLEXEC_CLIENT_CERT", "/c"),
            ("GLEXEC_HELPERS_LOG", "x"),
            ("GLEXEC_STATE_DIR", "x"),
            ("GLEXEC_LEASE_UID", "x"),
            ("GLEXEC_EPILOG_A", "x"),
            ("GLEXEC_SESSION_A", "x"),
            ("MALLOC_CHECK_", "x"),
            ("LD_PRELOAD", "x"),
            ("PATH", "x"),
            ("HOME", "x"),
            ("X509_USER_PROXY", "x"),
            ("KEPT", "k"),
        ];
        let caller = caller.map(|(name, value)| (name.into(), value.into()));
        let found = of(&Variables::new(caller.into()), &account("job", 7000), None, &config);
        let expected = [
            "GLEXEC_ENV=e",
            "GLEXEC_CLIENT_CERT=/c",
            "KEPT=k",
            "HOME=/home",
            "USER=job",
            "LOGNAME=job",
            "SHELL=/bin/sh",
            "PATH=/usr/local/bin:/usr/bin:/bin",
        ];
        assert_eq!(found, expected);
    }
}
