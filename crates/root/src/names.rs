//! The names of accounts and of pools.

/// The longest name of an account (LOGIN_NAME_MAX, limits.h(0p), without its NUL).
const LONGEST: usize = 255;

/// Whether this can be the name of an account: nothing that is a path, a separator of /etc/passwd
/// or of a map, an option, or that begins as the file of a lease does. `\` and `@` are in names of
/// directory services; `$` ends the names of machines.
pub(crate) fn is_account_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+@$\\".contains(byte);
    !name.is_empty()
        && name.len() <= LONGEST
        && name.iter().all(fits)
        && !matches!(name[0], b'-' | b'.' | b'+')
        && !name.iter().all(u8::is_ascii_digit)
}

/// Whether an account is one of a pool: the pool's prefix, and then at least one digit and nothing
/// else.
pub(crate) fn is_of_pool(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::{is_account_name, is_of_pool};

    #[test]
    fn a_name_is_neither_a_path_nor_a_number_nor_an_option() {
        for name in ["atlas001", "a", "_apt", "dom\\user", "user@dom", "a.b", "m$", "a-b+c"] {
            assert!(is_account_name(name.as_bytes()), "{name}");
        }
        for name in ["", "-x", ".x", "+x", "a/b", "a:b", "a b", "a,b", "a%b", "a#b", "123", "a\n"] {
            assert!(!is_account_name(name.as_bytes()), "{name}");
        }
        assert!(!is_account_name(&[b'a'; 256]) && !is_account_name(b"\xff"));
    }

    #[test]
    fn the_accounts_of_a_pool_are_its_prefix_and_digits() {
        assert!(is_of_pool(b"atlas001", b"atlas") && is_of_pool(b"atlas9", b"atlas"));
        for name in ["atlas", "atlasprd01", "atlas1a", "atla1", "xatlas1", "atlas-1"] {
            assert!(!is_of_pool(name.as_bytes(), b"atlas"), "{name}");
        }
    }
}
