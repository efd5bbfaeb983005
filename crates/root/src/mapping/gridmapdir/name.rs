//! The names of leases in gridmapdir. None can be that of an account: each begins with `%`.

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::OwnedName;

/// The lease of a subject: letters and digits in lower case, any other byte as `%` and two
/// hexadecimal digits in lower case. So all software that uses gridmapdir names it.
pub(in crate::mapping) fn of_subject(subject: &[u8]) -> Result<OwnedName> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut name = Vec::with_capacity(subject.len());
    for byte in subject {
        match byte {
            byte if byte.is_ascii_alphanumeric() => name.push(byte.to_ascii_lowercase()),
            byte => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                name.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
    // An identity that begins with a letter could have the name of an account.
    let name = Some(name).filter(|name| name.starts_with(b"%")).and_then(OwnedName::new);
    name.ok_or_else(|| {
        Refusal::internal(format!(
            "the subject {} cannot have an account of a pool: its name in gridmapdir would not \
             begin with %, or be longer than {} bytes: map it to an account",
            Shown(subject),
            sys::name::NAME_MAX
        ))
    })
}

/// What the lease of a credential's path begins with. No subject has such a name: `gl` are not two
/// hexadecimal digits.
const CREDENTIAL: &[u8] = b"%glexec:";

/// The lease of an account to the path of a credential. The account's file says which path.
pub(in crate::mapping) fn of_credential(account: &[u8]) -> Result<OwnedName> {
    OwnedName::new([CREDENTIAL, account].concat()).ok_or_else(|| {
        Refusal::internal(format!("the name of the account {} is too long", Shown(account)))
    })
}

/// The account of a lease to the path of a credential; none for another file.
pub(in crate::mapping) fn account_of(lease: &[u8]) -> Option<&[u8]> {
    lease.strip_prefix(CREDENTIAL)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{account_of, of_credential, of_subject};

    #[test]
    fn the_name_of_a_subject_is_that_of_other_software() {
        let name = |subject: &[u8]| of_subject(subject).map(|name| name.name().bytes().to_vec());
        let expected = b"%2fo%3dgrid%2fcn%3djohn%20doe%2femailaddress%3da%2eb%40c%2dd".to_vec();
        assert_eq!(name(b"/O=Grid/CN=John Doe/emailAddress=a.b@c-d"), Ok(expected));
        assert_eq!(name(b"/\xff\n\0_"), Ok(b"%2f%ff%0a%00%5f".to_vec()));
    }

    #[test]
    fn no_subject_has_the_name_of_an_account_or_of_another_file() {
        for subject in [&b""[..], b"CN=a", b"alice", &[b'/'; 86]] {
            assert!(of_subject(subject).is_err(), "{}", subject.escape_ascii());
        }
        assert!(of_subject(&[b'/'; 85]).is_ok());
        let lease = of_credential(b"pool01").unwrap();
        assert_eq!(account_of(lease.name().bytes()), Some(&b"pool01"[..]));
        for subject in [&b"%glexec:pool01"[..], b"/glexec:pool01", b"\xab:pool01"] {
            let name = of_subject(subject).unwrap();
            assert_eq!(account_of(name.name().bytes()), None);
        }
    }
}
