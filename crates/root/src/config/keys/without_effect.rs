//! The keys of gLExec that have nothing to act on here. They are accepted, so that a file of gLExec
//! can stay as it is, and `glexec --check-config` names them.

use super::{Effect, Key};

pub(super) const KEYS: &[Key] = &[
    key("use_lcas", "yes or no", "There is no LCAS here: name the banned subjects in ban_file."),
    key("lcas_db_file", "path", LCAS),
    key("lcas_log_file", "path", LCAS),
    key("lcas_debug_level", "number", LCAS),
    key("lcas_log_level", "number", LCAS),
    key("lcmaps_db_file", "path", LCMAPS),
    key("lcmaps_log_file", "path", LCMAPS_LOG),
    key("lcmaps_debug_level", "number", LCMAPS_LOG),
    key("lcmaps_log_level", "number", LCMAPS_LOG),
    key("lcmaps_get_account_policy", "name", LCMAPS),
    key("lcmaps_verify_account_policy", "name", LCMAPS),
];

const LCAS: &str = "There is no LCAS here.";
const LCMAPS: &str =
    "There is no LCMAPS here: grid_mapfile, gridmapdir and mapping say which account is used.";
const LCMAPS_LOG: &str = "There is no LCMAPS here: the one log is that of log_destination.";

const fn key(name: &'static str, value: &'static str, text: &'static str) -> Key {
    Key { name, value, default: "", text, effect: Effect::None }
}
