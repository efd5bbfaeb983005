//! Keys about session scripts.

use std::time::Duration;

use super::super::parse;
use super::Effect::Set;
use super::{DAY, Key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "session_scripts",
        value: "directories with colons between them, or nothing",
        default: "/etc/glexec/session.d:/usr/lib/glexec/session.d",
        text: "Directories of scripts that run when a payload begins and when it ends. Only root \
               and session_script_user may be able to write to them.",
        effect: Set(|config, value| {
            parse::directories(value).map(|directories| config.session_scripts = directories)
        }),
    },
    Key {
        name: "session_script_user",
        value: "name or nothing",
        default: "",
        text: "The user that session scripts run as, with its primary group, instead of root.",
        effect: Set(|config, value| {
            parse::optional_name(value).map(|name| config.session_script_user = name)
        }),
    },
    Key {
        name: "session_script_timeout",
        value: "seconds, 1 to 86400",
        default: "15",
        text: "After this time a session script that is waited for, or that runs after the \
               payload, gets SIGTERM, and then SIGKILL.",
        effect: Set(|config, value| {
            let seconds = parse::number(value, 1..=DAY)?;
            config.session_script_timeout = Duration::from_secs(seconds.into());
            Ok(())
        }),
    },
    Key {
        name: "session_script_failure",
        value: "refuse or log",
        default: "refuse",
        text: "What happens if a session script fails that is waited for before the payload: the \
               payload is refused, or the failure is logged only.",
        effect: Set(|config, value| {
            parse::refuses(value).map(|refuses| config.session_script_refuses = refuses)
        }),
    },
];
