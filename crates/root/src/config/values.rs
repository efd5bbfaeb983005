//! The kinds of values of the configuration.

/// By which way a call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The daemon if its socket exists and is root's; else set-user-ID if started so; else
    /// rootless.
    Auto,
    /// With root's rights, by the set-user-ID program itself.
    Setuid,
    /// By the account daemon.
    Daemon,
    /// Without privilege, as one of the caller's subordinate users.
    Rootless,
}

/// How a credential's account is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// By the verified subject of a proxy.
    Proxy,
    /// By the caller and the credential's path.
    Caller,
}

/// Which side switches the user, as gLExec calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchBy {
    /// `glexec` itself.
    Glexec,
    /// LCMAPS, in gLExec. Here `glexec` itself switches, too, but an epilogue must not have a user
    /// or group.
    Lcmaps,
}

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMechanism {
    /// By flock(2).
    Flock,
    /// By fcntl(2), for NFS.
    Fcntl,
    /// It is not locked.
    Disabled,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To syslog(3).
    Syslog,
    /// To a file.
    File,
}

/// The limit of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// That of a payload whose caller asks for none.
    pub usual: u64,
    /// The highest that a caller can ask for.
    pub most: u64,
}
