//! What the exit status of the switcher means, in words.

/// The meaning of an exit status of the switcher, 128 + N for signal N; `None` if the switcher did
/// not end within the idle timeout.
pub(crate) fn meaning(status: Option<i32>) -> String {
    let known = match status {
        None => "the switcher did not end within the idle timeout (GLEXEC_HELPERS_IDLE_TIMEOUT)",
        Some(0) => "the switcher ended with status 0, but its command did not do its work",
        // sudo uses this status for every refusal, and so do many commands.
        Some(1) => "the switcher, or its command, ended with status 1",
        Some(126) => "the switcher failed, status 126: the command could not be executed",
        Some(127) => "the switcher failed, status 127: the command was not found",
        Some(201) => "the switcher failed, status 201: client error",
        Some(202) => "the switcher failed, status 202: internal error",
        Some(203) => "the switcher failed, status 203: authorization error",
        Some(status) => {
            return format!("the switcher's command ended with status {status}");
        }
    };
    known.to_owned()
}
