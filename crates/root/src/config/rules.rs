//! Rules between keys: what excludes what, and what has no effect beside what.

use std::os::unix::ffi::OsStrExt as _;

use error::Shown;

use super::finding::{Finding, Severity};
use super::parse::is_yes_or_no;
use super::read::Settings;
use super::{Config, Destination, Door, Mapping, SwitchBy};

/// Variables that the payload never gets, whatever `preserve_env_variables` names: they are about
/// this program's own state, or about the programs around a payload.
pub const NEVER_PRESERVED: [&str; 6] = [
    "GLEXEC_HELPERS_",
    "GLEXEC_STATE_DIR",
    "GLEXEC_LEASE_UID",
    "GLEXEC_LIMITS",
    "GLEXEC_EPILOG_",
    "GLEXEC_SESSION_",
];

/// Whether a variable of this name is one of [`NEVER_PRESERVED`].
pub fn is_never_preserved(name: &[u8]) -> bool {
    NEVER_PRESERVED.iter().any(|prefix| match prefix.ends_with('_') {
        true => name.starts_with(prefix.as_bytes()),
        false => name == prefix.as_bytes(),
    })
}

/// Adds what the keys together have wrong. A key whose value is at fault is not judged again.
pub(super) fn check(config: &Config, settings: &Settings<'_>, findings: &mut Vec<Finding>) {
    let of_key = |key: &str, severity: Severity, text: &str, findings: &mut Vec<Finding>| {
        let is_at_fault = |finding: &Finding| {
            finding.is_fault() && finding.key.as_deref() == Some(key.as_bytes())
        };
        if let Some(setting) = settings.get(key).filter(|_| !findings.iter().any(is_at_fault)) {
            findings.push(setting.finding(key, severity, text));
        }
    };
    for (key, text) in faults(config) {
        of_key(key, Severity::Fault, text, findings);
    }
    for (applies, keys, text) in useless(config) {
        for key in keys.iter().filter(|_| applies) {
            of_key(key, Severity::NoEffect, text, findings);
        }
    }
    if config.user_white_list.is_empty() {
        let text = "it is empty: no user may call";
        of_key("user_white_list", Severity::Notice, text, findings);
    }
    let of_list = config.preserve_env_variables.iter().map(|name| name.as_bytes());
    for name in of_list.filter(|name| is_never_preserved(name)) {
        let text = format!("{} is never preserved", Shown(name));
        of_key("preserve_env_variables", Severity::NoEffect, &text, findings);
    }
    if settings.get("preserve_env_variables").is_some_and(|at| is_yes_or_no(at.value)) {
        let text = "yes and no are not names: no variable is preserved";
        of_key("preserve_env_variables", Severity::NoEffect, text, findings);
    }
    let is_set = |key: &str| settings.contains_key(key);
    if is_set("input_lock_mechanism") && is_set("target_lock_mechanism") {
        let text = "input_lock_mechanism and target_lock_mechanism are set";
        of_key("lock_mechanism", Severity::NoEffect, text, findings);
    }
}

/// The key that is at fault, and why.
fn faults(config: &Config) -> Vec<(&'static str, &'static str)> {
    let mut faults = Vec::new();
    if config.epilogue.is_some() && !config.linger {
        faults.push((
            "epilogue",
            "it needs linger = yes: after the payload no process could start it",
        ));
    }
    if !config.linger {
        const WHY: &str = "it needs linger = yes: else no process watches the payload";
        let limits = [("memory_limit", config.memory_limit), ("pids_limit", config.pids_limit)];
        faults.extend(limits.into_iter().filter(|(_, at)| at.is_some()).map(|(key, _)| (key, WHY)));
    }
    if config.session_scripts != Config::default().session_scripts
        && !config.session_scripts.is_empty()
        && !config.linger
    {
        faults.push((
            "session_scripts",
            "it needs linger = yes: after the payload no process could start them",
        ));
    }
    if config.user_identity_switch_by == SwitchBy::Lcmaps {
        const WHY: &str = "it needs user_identity_switch_by = glexec";
        if config.epilogue_user.is_some() {
            faults.push(("epilogue_user", WHY));
        }
        if config.epilogue_group.is_some() {
            faults.push(("epilogue_group", WHY));
        }
    }
    faults
}

/// Whether a reason applies, the keys that have no effect then if they are set, and the reason.
fn useless(config: &Config) -> [(bool, &'static [&'static str], &'static str); 10] {
    [
        (
            config.door == Door::Daemon && !(config.linger && config.end_family),
            &["linger", "end_family"],
            "with door = daemon the process above a payload always stays, and ends what is left",
        ),
        (
            config.mapping == Mapping::Caller,
            &[
                "grid_mapfile",
                "grid_mapfile_wildcards",
                "ca_directory",
                "ban_file",
                "omission_private_key_white_list",
                "allow_limited_proxies",
                "max_proxy_lifetime",
            ],
            "with mapping = caller no subject is read",
        ),
        (
            config.mapping == Mapping::Proxy,
            &["caller_map"],
            "with mapping = proxy the subject says which account is used",
        ),
        (
            config.epilogue.is_none(),
            &["epilogue_user", "epilogue_group", "epilogue_timeout"],
            "there is no epilogue",
        ),
        (
            config.session_scripts.is_empty() || !config.linger,
            &["session_script_user", "session_script_timeout", "session_script_failure"],
            "no session script runs: session_scripts is empty, or linger = no",
        ),
        (
            config.root_directories.is_none(),
            &["root_directory_missing"],
            "there are no root_directories",
        ),
        (
            !config.linger && config.door != Door::Daemon,
            &["end_family"],
            "with linger = no nothing is left to end it",
        ),
        (
            config.log_destination == Destination::Syslog,
            &["log_file"],
            "with log_destination = syslog there is no such file",
        ),
        (
            !config.create_target_proxy,
            &["target_lock_mechanism"],
            "with create_target_proxy = no none is written",
        ),
        (
            config.user_identity_switch_by == SwitchBy::Lcmaps,
            &["user_identity_switch_by"],
            "glexec itself makes the change of user",
        ),
    ]
}
