//! The configuration of `glexec` where it has root's rights: /etc/glexec.conf and its drop-ins.
//!
//! - `files` reads the files, if they are trusted;
//! - `lines` divides them into keys and values;
//! - [`keys`]: the table of all keys, with `parse` for their values;
//! - `read` makes the configuration of it, with `rules` between keys, and [`Finding`]s;
//! - `values`: the kinds of values that are words.

mod files;
mod finding;
pub mod keys;
mod lines;
mod load;
mod parse;
mod read;
mod rules;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use finding::{Finding, Severity};
pub use load::ConfigError;
pub(crate) use load::load;
pub use rules::{NEVER_PRESERVED, is_never_preserved};
pub use values::{Bound, Destination, Door, LockMechanism, Mapping, SwitchBy};

use ::world::Bind;

use crate::group_ranges::GroupRanges;
use crate::users::UserList;

/// The configuration file.
pub const FILE: &str = "/etc/glexec.conf";

/// The directory of drop-ins: files `*.conf`, read after [`FILE`] in the order of their names. A
/// key in a later file replaces that of an earlier one.
pub const DROP_INS: &str = "/etc/glexec.conf.d";

/// The configuration. Each field has the name of its key; the keys that have no effect have no
/// field. [`Config::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// By which way a call is served. Default: [`Door::Auto`].
    pub door: Door,
    /// Who may call. Default: no user.
    pub user_white_list: UserList,
    /// How a credential's account is found. Default: [`Mapping::Proxy`].
    pub mapping: Mapping,
    /// The accounts of subjects. Default: /etc/grid-security/grid-mapfile.
    pub grid_mapfile: PathBuf,
    /// Whether `*` in a subject of `grid_mapfile` matches any text. Default: no.
    pub grid_mapfile_wildcards: bool,
    /// The leases of pool accounts. Default: /etc/grid-security/gridmapdir.
    pub gridmapdir: PathBuf,
    /// The hashed directory of certificate authorities. Default: /etc/grid-security/certificates.
    pub ca_directory: PathBuf,
    /// The banned subjects. Default: none.
    pub ban_file: Option<PathBuf>,
    /// The accounts by caller and path, for [`Mapping::Caller`]. Default: /etc/glexec.caller-map.
    pub caller_map: PathBuf,
    /// Callers that may use a proxy without its private key. Default: none.
    pub omission_private_key_white_list: UserList,
    /// Whether limited proxies are accepted. Default: no.
    pub allow_limited_proxies: bool,
    /// The longest validity of proxies, as `glexec_verify` takes it (`<level>=<seconds>`). Default:
    /// no limit.
    pub max_proxy_lifetime: Vec<OsString>,
    /// The lowest user id of a target. Default: 1000.
    pub min_uid: u32,
    /// The lowest group id of a target. Default: 1000.
    pub min_gid: u32,
    /// Groups that the payload keeps of its caller's: a batch system follows a job by them.
    /// Default: none.
    pub tracking_groups: GroupRanges,
    /// The socket of the account daemon. Default: /run/glexec/glexecd.socket.
    pub daemon_socket: PathBuf,
    /// How long a lease of the account daemon lasts after its last use. Default: a day.
    pub lease_time: Duration,
    /// How long a call waits for a guest account. Default: not at all.
    pub lease_wait: Duration,
    /// How many connections a client can have at the account daemon. Default: 4096.
    pub client_limit: u32,
    /// Which side is said to switch; it is always this program. Default: [`SwitchBy::Glexec`].
    pub user_identity_switch_by: SwitchBy,
    /// Whether the parent stays until the payload ends. Default: yes.
    pub linger: bool,
    /// Whether the payload's descendants are ended after it. Default: yes.
    pub end_family: bool,
    /// The memory of a payload, in bytes. Default: no limit.
    pub memory_limit: Option<Bound>,
    /// The processes and threads of a payload. Default: no limit.
    pub pids_limit: Option<Bound>,
    /// The processors of a payload. Default: no limit.
    pub cpus_limit: Option<Bound>,
    /// Whether every payload has the closed world. Default: no.
    pub world_is_closed: bool,
    /// The table of root directories. Default: none.
    pub root_directories: Option<PathBuf>,
    /// Whether an account that is not in that table is refused. Default: yes.
    pub root_directory_missing_refuses: bool,
    /// Whether a payload is refused whose root directory cannot be used. Default: yes.
    pub root_directory_error_refuses: bool,
    /// What of the machine is in a root directory, read-only. Default: nothing.
    pub root_mounts: Vec<Bind>,
    /// The PATH of the payload, in which its program is searched for, too. Default:
    /// /usr/local/bin:/usr/bin:/bin.
    pub path: OsString,
    /// The caller's variables that the payload keeps, beside `GLEXEC_*`. Default: none.
    pub preserve_env_variables: Vec<OsString>,
    /// Whether the payload gets a copy of the proxy. Default: yes.
    pub create_target_proxy: bool,
    /// How a credential is locked while it is read. Default: [`LockMechanism::Flock`].
    pub input_lock_mechanism: LockMechanism,
    /// How a target proxy is locked while it is written. Default: [`LockMechanism::Flock`].
    pub target_lock_mechanism: LockMechanism,
    /// The program that runs after a payload. Default: none.
    pub epilogue: Option<PathBuf>,
    /// The user that the epilogue runs as, and that may write to it. Default: root.
    pub epilogue_user: Option<OsString>,
    /// The group that the epilogue runs as, and that may write to it. Default: gid 0, and no group
    /// may write to it.
    pub epilogue_group: Option<OsString>,
    /// How long the epilogue may run. Default: 300 seconds.
    pub epilogue_timeout: Duration,
    /// The directories of session scripts. Default: /etc/glexec/session.d and
    /// /usr/lib/glexec/session.d.
    pub session_scripts: Vec<PathBuf>,
    /// The user that session scripts run as, and that may own them. Default: root.
    pub session_script_user: Option<OsString>,
    /// How long a session script may run. Default: 15 seconds.
    pub session_script_timeout: Duration,
    /// Whether a payload is refused if a script fails that is waited for before it. Default: yes.
    pub session_script_refuses: bool,
    /// Where the log goes. Default: [`Destination::Syslog`].
    pub log_destination: Destination,
    /// The log, for [`Destination::File`]. Default: /var/log/glexec.log.
    pub log_file: PathBuf,
    /// The audit of the account daemon. Default: /var/log/glexec/accounts.jsonl.
    pub audit_file: Option<PathBuf>,
    /// How much is logged: 1 (errors) to 5 (each step). Default: 3.
    pub log_level: u8,
    /// Whether the reason of a refusal goes to the log only, not to the caller. Default: no.
    pub silent_logging: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            door: Door::Auto,
            user_white_list: UserList::default(),
            mapping: Mapping::Proxy,
            grid_mapfile: "/etc/grid-security/grid-mapfile".into(),
            grid_mapfile_wildcards: false,
            gridmapdir: "/etc/grid-security/gridmapdir".into(),
            ca_directory: "/etc/grid-security/certificates".into(),
            ban_file: None,
            caller_map: "/etc/glexec.caller-map".into(),
            omission_private_key_white_list: UserList::default(),
            allow_limited_proxies: false,
            max_proxy_lifetime: Vec::new(),
            min_uid: 1000,
            min_gid: 1000,
            tracking_groups: GroupRanges::default(),
            daemon_socket: "/run/glexec/glexecd.socket".into(),
            lease_time: Duration::from_secs(86_400),
            lease_wait: Duration::ZERO,
            client_limit: 4096,
            user_identity_switch_by: SwitchBy::Glexec,
            linger: true,
            end_family: true,
            memory_limit: None,
            pids_limit: None,
            cpus_limit: None,
            world_is_closed: false,
            root_directories: None,
            root_directory_missing_refuses: true,
            root_directory_error_refuses: true,
            root_mounts: Vec::new(),
            path: "/usr/local/bin:/usr/bin:/bin".into(),
            preserve_env_variables: Vec::new(),
            create_target_proxy: true,
            input_lock_mechanism: LockMechanism::Flock,
            target_lock_mechanism: LockMechanism::Flock,
            epilogue: None,
            epilogue_user: None,
            epilogue_group: None,
            epilogue_timeout: Duration::from_secs(300),
            session_scripts: vec![
                "/etc/glexec/session.d".into(),
                "/usr/lib/glexec/session.d".into(),
            ],
            session_script_user: None,
            session_script_timeout: Duration::from_secs(15),
            session_script_refuses: true,
            log_destination: Destination::Syslog,
            log_file: "/var/log/glexec.log".into(),
            audit_file: Some("/var/log/glexec/accounts.jsonl".into()),
            log_level: 3,
            silent_logging: false,
        }
    }
}
