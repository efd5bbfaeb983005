//! The record of a lease: a file of lines `key value`. A value is one line without blanks: other
//! bytes are written as `%41`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use command::location::Location;
use sys::Uid;

use super::audit::{self, Holding};

/// Whose lease it is, for one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The subject of a proxy.
    Subject(Vec<u8>),
    /// A calling account, which owns the leased account.
    Caller(Vec<u8>),
    /// A file, by its place ([`Location::place`]).
    File(Vec<u8>),
}

impl Identity {
    /// The word for its kind, and its value.
    fn parts(&self) -> (&'static str, &[u8]) {
        match self {
            Identity::Subject(subject) => ("subject", subject),
            Identity::Caller(name) => ("caller", name),
            Identity::File(place) => ("file", place),
        }
    }

    /// The value, for messages.
    pub fn value(&self) -> &[u8] {
        self.parts().1
    }
}

/// A lease: one client has one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its number: 16 hexadecimal digits.
    pub lease: String,
    /// The account.
    pub account: Vec<u8>,
    /// Whether the audit has its beginning.
    pub is_told: bool,
    /// Its user id.
    pub uid: Uid,
    /// Whether the identity owns the account.
    pub holding: Holding,
    /// The client.
    pub client: Uid,
    /// The name of the client.
    pub client_name: Vec<u8>,
    /// For whom the client has it.
    pub identity: Identity,
    /// The credential of the last call.
    pub credential: Location,
    /// When it has begun, in seconds since 1970.
    pub begun: u64,
    /// When it ends, unless it is used again.
    pub until: u64,
    /// When it was used last.
    pub used: u64,
}

impl LeaseRecord {
    /// What the audit tells of it.
    pub fn audited(&self) -> audit::Lease<'_> {
        audit::Lease {
            lease: &self.lease,
            account: &self.account,
            uid: self.uid,
            holding: self.holding,
            client: self.client,
            client_name: &self.client_name,
            identity: self.identity.value(),
        }
    }

    /// The text of its file.
    pub(super) fn to_text(&self) -> String {
        let holding = match self.holding {
            Holding::Owned => "owned",
            Holding::Guest => "guest",
        };
        let (kind, identity) = self.identity.parts();
        let Location { path, place } = &self.credential;
        format!(
            "lease {}\ntold {}\naccount {}\nuid {}\nkind {holding}\nclient {}\nclient_name {}\n\
             identity {kind} {}\ncredential {}\nplace {}\nbegun {}\nuntil {}\nused {}\n",
            self.lease,
            u8::from(self.is_told),
            escape(&self.account),
            self.uid,
            self.client,
            escape(&self.client_name),
            escape(identity),
            escape(path.as_os_str().as_bytes()),
            escape(place),
            self.begun,
            self.until,
            self.used
        )
    }

    /// Reads what [`LeaseRecord::to_text`] has made; none if it is damaged.
    pub(super) fn parse(text: &[u8]) -> Option<LeaseRecord> {
        let text = std::str::from_utf8(text).ok()?;
        let get = |key: &str| value(text, key);
        let (kind, identity) = get("identity")?.split_once(' ')?;
        let identity = unescape(identity)?;
        let path = OsString::from_vec(unescape(get("credential")?)?).into();
        Some(LeaseRecord {
            lease: get("lease")?.to_owned(),
            is_told: get("told") == Some("1"),
            account: unescape(get("account")?)?,
            uid: get("uid")?.parse().ok().map(Uid::from_raw)?,
            holding: match get("kind")? {
                "owned" => Holding::Owned,
                "guest" => Holding::Guest,
                _ => return None,
            },
            client: get("client")?.parse().ok().map(Uid::from_raw)?,
            client_name: unescape(get("client_name")?)?,
            identity: match kind {
                "subject" => Identity::Subject(identity),
                "caller" => Identity::Caller(identity),
                "file" => Identity::File(identity),
                _ => return None,
            },
            credential: Location { path, place: unescape(get("place")?)? },
            begun: get("begun")?.parse().ok()?,
            until: get("until")?.parse().ok()?,
            used: get("used")?.parse().ok()?,
        })
    }
}

/// The value of a key in lines `key value`.
pub(super) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

/// Bytes as a word.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut word = String::new();
    for byte in bytes {
        match byte {
            b'%' => word.push_str("%25"),
            b'!'..=b'~' => word.push(char::from(*byte)),
            other => _ = write!(word, "%{other:02x}"),
        }
    }
    word
}

/// The bytes of a word.
pub(super) fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_after_the_file_and_damage_is_seen() {
        let identities = [
            Identity::Subject(b"/C=X/CN=a b\n\xff%".to_vec()),
            Identity::Caller(b"condor".to_vec()),
            Identity::File(b"8:1 /a b".to_vec()),
        ];
        for identity in identities {
            let credential = Location { path: "/a b/\n".into(), place: b"8:1 /a".to_vec() };
            let record = LeaseRecord {
                lease: "0123456789abcdef".into(),
                account: b"dom\\guest01".to_vec(),
                is_told: true,
                uid: Uid::from_raw(3001),
                holding: Holding::Guest,
                client: Uid::from_raw(2000),
                client_name: b"condor".to_vec(),
                identity,
                credential,
                begun: 1,
                until: 2,
                used: 3,
            };
            let text = record.to_text();
            assert_eq!(LeaseRecord::parse(text.as_bytes()), Some(record));
            for end in 0..text.len() - 2 {
                let cut = LeaseRecord::parse(&text.as_bytes()[..end]);
                assert_eq!(cut, None, "{end}");
            }
        }
        assert_eq!(unescape("%4"), None);
        assert_eq!(unescape("%zz"), None);
    }
}
