//! The keys about the account daemon and its leases.

use std::time::Duration;

use super::super::parse;
use super::Effect::Set;
use super::{DAY, Key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "daemon_socket",
        value: "path",
        default: "/run/glexec/glexecd.socket",
        text: "The socket of the account daemon, where glexec looks for it. The socket and the \
               directories of its path must belong to root, and no other user may be able to \
               replace them.",
        effect: Set(|config, value| parse::path(value).map(|path| config.daemon_socket = path)),
    },
    Key {
        name: "lease_time",
        value: "seconds, 60 to 86400",
        default: "86400",
        text: "How long a lease of the account daemon lasts after its last use. A call that runs \
               uses it. A lease of a credential that is no proxy ends when its file is gone, too.",
        effect: Set(|config, value| {
            let seconds = parse::number(value, 60..=DAY)?;
            config.lease_time = Duration::from_secs(seconds.into());
            Ok(())
        }),
    },
    Key {
        name: "lease_wait",
        value: "seconds, 0 to 86400",
        default: "0",
        text: "How long a call waits at the account daemon if no guest account is free. Calls that \
               wait get accounts in the order in which they came. 0: such a call gets status 202 \
               at once.",
        effect: Set(|config, value| {
            let seconds = parse::number(value, 0..=DAY)?;
            config.lease_wait = Duration::from_secs(seconds.into());
            Ok(())
        }),
    },
    Key {
        name: "client_limit",
        value: "number, 1 to 100000",
        default: "4096",
        text: "How many connections a client can have at the account daemon at the same time. Each \
               payload that runs has one. A further one gets status 202.",
        effect: Set(|config, value| {
            parse::number(value, 1..=100_000).map(|limit| config.client_limit = limit)
        }),
    },
];
