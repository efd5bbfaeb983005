//! The keys about the payload, what follows it, and the log.

use std::time::Duration;

use super::super::parse;
use super::Effect::Set;
use super::{DAY, Key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "linger",
        value: "yes or no",
        default: "yes",
        text: "yes: glexec stays as the payload's parent until it ends. no: glexec becomes the \
               payload; an epilogue is an error then. The account daemon always has a process \
               above a payload.",
        effect: Set(|config, value| parse::yes_no(value).map(|yes| config.linger = yes)),
    },
    Key {
        name: "end_family",
        value: "yes or no",
        default: "yes",
        text: "yes: what the payload has started and left is ended after it, before the epilogue. \
               no: it stays, as with gLExec. The account daemon always ends it: no lease \
               would own what is left.",
        effect: Set(|config, value| parse::yes_no(value).map(|yes| config.end_family = yes)),
    },
    Key {
        name: "memory_limit",
        value: "size, or two sizes with a colon between, or nothing",
        default: "",
        text: "The memory of all processes of a payload together, in bytes or with K, M, G or T. \
               The caller can ask for another limit by GLEXEC_LIMITS, at most for this one or, \
               with a second size, for that; for more it gets status 203. Without this key it \
               can ask for any, and without its word there is none. A payload in a cgroup of the \
               account daemon is limited by the controller memory, if there is one. Elsewhere \
               glexec looks at the payload ten times a second, and kills it if it uses more; this \
               needs linger = yes. The operations of the helpers have no limits.",
        effect: Set(|config, value| parse::size_limit(value).map(|at| config.memory_limit = at)),
    },
    Key {
        name: "pids_limit",
        value: "number, or two numbers with a colon between, or nothing",
        default: "",
        text: "The processes and threads of a payload, as memory_limit. With the controller pids \
               no further one is started; else the payload is killed.",
        effect: Set(|config, value| parse::number_limit(value).map(|at| config.pids_limit = at)),
    },
    Key {
        name: "cpus_limit",
        value: "number, or two numbers with a colon between, or nothing",
        default: "",
        text: "The processors of a payload, as memory_limit. With the controller cpu it gets the \
               time of so many. Else it begins on so many (sched_setaffinity(2)), which it can \
               undo.",
        effect: Set(|config, value| parse::number_limit(value).map(|at| config.cpus_limit = at)),
    },
    Key {
        name: "world",
        value: "shared or closed",
        default: "shared",
        text: "closed: every payload has a world of its own: it can write to its sandbox, to \
               private directories /tmp, /var/tmp and /dev/shm that end with it, and to what the \
               caller's options name; all else is read-only, and homes and other sandboxes are not \
               there. shared: only a payload whose caller asks for it, by --world closed or \
               GLEXEC_WORLD=closed.",
        effect: Set(|config, value| {
            parse::world(value).map(|is_closed| config.world_is_closed = is_closed)
        }),
    },
    Key {
        name: "root_directories",
        value: "path or nothing",
        default: "",
        text: "A table with the root directories of payloads: lines of an account, an @group or a \
               pattern of account names with * and ?, and a directory, in which %u is the \
               account's name, %g that of its group and %h its home. The first line that fits \
               counts. The directory, and all that lead to it, must be root's. The payload has \
               the closed world, with this directory as its root, read-only. A session script \
               that is waited for can name another directory: by the line export \
               GLEXEC_ROOT=DIRECTORY, or by CHROOTDIR=DIRECTORY in the file that \
               PAM_SCRIPT_INFO names.",
        effect: Set(|config, value| {
            parse::optional_path(value).map(|path| config.root_directories = path)
        }),
    },
    Key {
        name: "root_directory_missing",
        value: "refuse or go_on",
        default: "refuse",
        text: "What happens to a payload whose account is not in root_directories: it is refused \
               (203), or has the machine's root directory.",
        effect: Set(|config, value| {
            parse::refuses_or_goes_on(value)
                .map(|refuses| config.root_directory_missing_refuses = refuses)
        }),
    },
    Key {
        name: "root_directory_error",
        value: "refuse or go_on",
        default: "refuse",
        text: "What happens to a payload whose root directory does not exist, or is not only \
               root's: it is refused (202), or has the machine's root directory.",
        effect: Set(|config, value| {
            parse::refuses_or_goes_on(value)
                .map(|refuses| config.root_directory_error_refuses = refuses)
        }),
    },
    Key {
        name: "root_mounts",
        value: "paths, each with :place or without, separated by commas",
        default: "",
        text: "What of the machine a payload with a root directory of its own sees there, \
               read-only, beside its sandbox, /proc, /sys, a minimal /dev, and /etc/hosts and \
               /etc/resolv.conf.",
        effect: Set(|config, value| parse::binds(value).map(|mounts| config.root_mounts = mounts)),
    },
    Key {
        name: "path",
        value: "directories, separated by colons",
        default: "/usr/local/bin:/usr/bin:/bin",
        text: "The PATH of the payload. A program without a slash is searched for in it.",
        effect: Set(|config, value| parse::search_path(value).map(|path| config.path = path)),
    },
    Key {
        name: "preserve_env_variables",
        value: "names, separated by commas",
        default: "",
        text: "Variables of the caller that the payload keeps, beside GLEXEC_*.",
        effect: Set(|config, value| {
            parse::variables(value).map(|names| config.preserve_env_variables = names)
        }),
    },
    Key {
        name: "create_target_proxy",
        value: "yes or no",
        default: "yes",
        text: "yes: with GLEXEC_SOURCE_PROXY the payload gets a copy of that file, where \
               GLEXEC_TARGET_PROXY says. no: it gets none, and X509_USER_PROXY is not set.",
        effect: Set(|config, value| {
            parse::yes_no(value).map(|yes| config.create_target_proxy = yes)
        }),
    },
    // Before the two keys that are more specific.
    Key {
        name: "lock_mechanism",
        value: "flock, fcntl or disabled",
        default: "flock",
        text: "The value of input_lock_mechanism and of target_lock_mechanism, if they are \
               missing. Use these instead.",
        effect: Set(|config, value| {
            let mechanism = parse::lock_mechanism(value)?;
            config.input_lock_mechanism = mechanism;
            config.target_lock_mechanism = mechanism;
            Ok(())
        }),
    },
    Key {
        name: "input_lock_mechanism",
        value: "flock, fcntl or disabled",
        default: "flock",
        text: "How the credential is locked while it is read: by flock(2), by fcntl(2), which NFS \
               needs, or not.",
        effect: Set(|config, value| {
            parse::lock_mechanism(value).map(|mechanism| config.input_lock_mechanism = mechanism)
        }),
    },
    Key {
        name: "target_lock_mechanism",
        value: "flock, fcntl or disabled",
        default: "flock",
        text: "How the target proxy is locked while it is written.",
        effect: Set(|config, value| {
            parse::lock_mechanism(value).map(|mechanism| config.target_lock_mechanism = mechanism)
        }),
    },
    Key {
        name: "epilogue",
        value: "path or nothing",
        default: "",
        text: "A program that runs after each payload. Only root, epilogue_user and the members \
               of epilogue_group may be able to write to it and to the directories of its path.",
        effect: Set(|config, value| parse::optional_path(value).map(|path| config.epilogue = path)),
    },
    Key {
        name: "epilogue_user",
        value: "name or nothing",
        default: "",
        text: "The user that the epilogue runs as, instead of root.",
        effect: Set(|config, value| {
            parse::optional_name(value).map(|name| config.epilogue_user = name)
        }),
    },
    Key {
        name: "epilogue_group",
        value: "name or nothing",
        default: "",
        text: "The group that the epilogue runs as, instead of group id 0.",
        effect: Set(|config, value| {
            parse::optional_name(value).map(|name| config.epilogue_group = name)
        }),
    },
    Key {
        name: "epilogue_timeout",
        value: "seconds, 1 to 86400",
        default: "300",
        text: "After this time the epilogue gets SIGTERM, and then SIGKILL.",
        effect: Set(|config, value| {
            let seconds = parse::number(value, 1..=DAY)?;
            config.epilogue_timeout = Duration::from_secs(seconds.into());
            Ok(())
        }),
    },
    Key {
        name: "log_destination",
        value: "syslog or file",
        default: "syslog",
        text: "Where the log goes.",
        effect: Set(|config, value| {
            parse::destination(value).map(|destination| config.log_destination = destination)
        }),
    },
    Key {
        name: "log_file",
        value: "path",
        default: "/var/log/glexec.log",
        text: "The log, for log_destination = file. It is opened for each call, so it can be \
               rotated by renaming.",
        effect: Set(|config, value| parse::path(value).map(|path| config.log_file = path)),
    },
    Key {
        name: "audit_file",
        value: "path or nothing",
        default: "/var/log/glexec/accounts.jsonl",
        text: "The audit of the account daemon: which client had which account when, and what ran \
               as it. It is opened for each line, so it can be rotated by renaming. All lines are \
               in the system log, too; with nothing here they are only there.",
        effect: Set(|config, value| {
            parse::optional_path(value).map(|path| config.audit_file = path)
        }),
    },
    Key {
        name: "log_level",
        value: "1 to 5",
        default: "3",
        text: "How much is logged: 1 refusals and errors, 2 also warnings, 3 also who runs what as \
               whom, 4 and 5 also each step. The lines that accounting reads are always written.",
        effect: Set(|config, value| {
            let level = parse::number(value, 1..=5)?;
            config.log_level = u8::try_from(level).unwrap_or(u8::MAX);
            Ok(())
        }),
    },
    Key {
        name: "silent_logging",
        value: "yes or no",
        default: "no",
        text: "yes: the reason of a refusal goes to the log only. no: the caller gets it, too, on \
               standard error.",
        effect: Set(|config, value| parse::yes_no(value).map(|yes| config.silent_logging = yes)),
    },
];
