//! The keys of the configuration: one table, from which the reader, `glexec --check-config` and the
//! manual page glexec.conf(5) come.

mod accounts;
mod leases;
mod payload;
mod scripts;
mod without_effect;

use super::Config;

/// The seconds of a day: the longest time that a key can set.
const DAY: u32 = 86_400;

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The form of its value, as the manual page shows it.
    pub value: &'static str,
    /// The value that has the effect of a missing key; empty if there is none.
    pub default: &'static str,
    /// Its effect; or why it has none. Complete sentences.
    pub text: &'static str,
    /// How its value changes the configuration.
    pub(super) effect: Effect,
}

/// What a key does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// Sets a field to a value; the error says what the value must be.
    Set(fn(&mut Config, &[u8]) -> Result<(), String>),
    /// Nothing: the key is gLExec's, and there is nothing here for it to act on.
    None,
}

impl Key {
    /// Whether the key is accepted but does nothing.
    pub fn is_without_effect(&self) -> bool {
        matches!(self.effect, Effect::None)
    }
}

/// All keys, in the order of the manual page. Values are applied in this order: so a key that is
/// more general comes before the others.
pub fn all() -> impl Iterator<Item = &'static Key> {
    let ours = accounts::KEYS.iter().chain(leases::KEYS).chain(payload::KEYS).chain(scripts::KEYS);
    ours.chain(without_effect::KEYS)
}

/// The key of this name.
pub(super) fn named(name: &[u8]) -> Option<&'static Key> {
    all().find(|key| key.name.as_bytes() == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Config, Effect, all};

    #[test]
    fn the_documented_defaults_are_those_of_the_configuration() {
        let mut config = Config::default();
        for key in all() {
            if let Effect::Set(set) = key.effect {
                // An empty default stands for "not set", which the empty value of a key that may be
                // empty means, too.
                set(&mut config, key.default.as_bytes()).unwrap_or_else(|why| panic!("{why}"));
            }
            assert_eq!(config, Config::default(), "{}", key.name);
        }
    }

    #[test]
    fn each_key_is_there_once_and_is_described() {
        let mut names = BTreeSet::new();
        for key in all() {
            assert!(names.insert(key.name), "{}", key.name);
            assert!(key.text.ends_with('.') && !key.value.is_empty(), "{}", key.name);
            assert!(!key.text.contains("  ") && !key.text.contains('\n'), "{}", key.name);
        }
        assert_eq!(names.len(), 60);
    }
}
