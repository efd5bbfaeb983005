//! What sudo allows the caller, as `sudo -l` lists it.

use std::path::PathBuf;

use command::query;

/// The sudo program, unless `GLEXEC_SUDO` names another one.
const SUDO: &str = "/usr/bin/sudo";

/// Whether sudo logs the input of the caller's commands: then descriptor 0 of a command is a pipe
/// of sudo.
pub(super) fn logs_input() -> bool {
    let sudo = std::env::var_os("GLEXEC_SUDO").map_or_else(|| PathBuf::from(SUDO), PathBuf::from);
    // Without an environment, and so not translated.
    let listing = query::ask(&sudo, &["-n", "-l"].map(AsRef::as_ref));
    listing.is_ok_and(|listing| has_input_log(&String::from_utf8_lossy(&listing)))
}

/// Whether the settings in a listing log the input. They are in the first paragraph, each setting
/// overrides an earlier one, and `!` turns one off.
fn has_input_log(listing: &str) -> bool {
    let settings = listing.lines().take_while(|line| !line.is_empty());
    let words = settings.flat_map(|line| line.split([',', ' ']));
    let last = words.filter(|word| matches!(*word, "log_input" | "!log_input")).last();
    last == Some("log_input")
}

#[cfg(test)]
mod tests {
    use super::has_input_log;

    #[test]
    fn the_last_setting_counts_and_rules_do_not() {
        let listing = |settings: &str| {
            format!(
                "Matching Defaults entries for pilot on node:\n    env_reset, {settings}\n\n\
                 User pilot may run the following commands on node:\n    (job) log_input\n"
            )
        };
        for (settings, expected) in [
            ("!use_pty", false),
            ("log_input, use_pty", true),
            ("!log_input", false),
            ("log_input,\n    !log_input, use_pty", false),
            ("!log_input, log_input", true),
        ] {
            assert_eq!(has_input_log(&listing(settings)), expected, "{settings}");
        }
    }
}
