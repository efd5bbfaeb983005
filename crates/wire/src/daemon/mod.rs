//! What crosses between the account daemon and its clients: frames on a stream socket. A frame is
//! its length (4 bytes, little-endian, without these), the version of the protocol, its kind, and
//! its fields.
//!
//! A connection has one [`Request`], with descriptors ([`Request::descriptors`]) that are passed
//! with its first byte. While its payload runs, or its change of owner, the client sends
//! [`Signal`]s, and the end of the connection ends the payload. The daemon sends [`Answer`]s.

mod answer;
mod fields;
mod request;

pub use answer::Answer;
pub use request::{Change, Request, Run, Signal};

/// The version of the protocol. The daemon and a client of another version refuse each other.
pub const VERSION: u8 = 1;

/// The longest request, in bytes, without its length field: more than the arguments and variables
/// of a program take as a rule, and less than the kernel accepts of them.
pub const MAX_REQUEST: usize = 1 << 20;

/// The longest frame that a client sends after its request.
pub const MAX_SIGNAL: usize = 16;

/// The longest answer.
pub const MAX_ANSWER: usize = 1 << 20;

/// Bytes that are no frame of this version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// They are of this other version.
    Version(u8),
    /// They are no frame.
    Malformed,
}

/// The kind and the fields of a frame, from its bytes without the length field.
fn open(bytes: &[u8]) -> Result<(u8, fields::Fields<'_>), Invalid> {
    match bytes {
        [VERSION, kind, rest @ ..] => Ok((*kind, fields::Fields::new(rest))),
        [version, ..] if *version != VERSION => Err(Invalid::Version(*version)),
        _ => Err(Invalid::Malformed),
    }
}

/// The bytes of a frame, with the length field.
fn close(kind: u8, fields: &[u8]) -> Vec<u8> {
    let length = u32::try_from(fields.len() + 2).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &[VERSION, kind], fields].concat()
}

/// The length of a frame, from its length field, if a frame of at most `most` bytes can have it.
pub fn length(field: [u8; 4], most: usize) -> Result<usize, Invalid> {
    let length = usize::try_from(u32::from_le_bytes(field)).map_err(|_| Invalid::Malformed)?;
    if (2..=most).contains(&length) { Ok(length) } else { Err(Invalid::Malformed) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> &[u8] {
        let (field, rest) = bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(length(*field, MAX_REQUEST), Ok(rest.len()));
        rest
    }

    fn requests() -> Vec<Request> {
        let run = Run {
            command: vec!["/bin/sh".into(), String::new().into(), "-c".into()],
            world: vec!["--world".into(), "closed".into()],
            environment: vec![("A".into(), "b=c".into()), ("B".into(), "".into())],
            umask: 0o027,
            has_proxy: true,
            lingers: false,
        };
        let bare = Run { command: vec!["x".into()], environment: Vec::new(), ..run.clone() };
        vec![
            Request::Run(run),
            Request::Run(Run { has_proxy: false, lingers: true, ..bare }),
            Request::Status,
            Request::Release,
            Request::End,
            Request::Owner(Change {
                options: vec!["give".into(), "/d".into(), "confirm".into(), "".into()],
                environment: vec![("A".into(), "b".into())],
                directories: 1,
            }),
        ]
    }

    #[test]
    fn requests_and_answers_are_the_same_after_the_socket() {
        for request in requests() {
            assert_eq!(Request::decode(frame(&request.encode())), Ok(request));
        }
        for answer in Answer::examples() {
            assert_eq!(Answer::decode(frame(&answer.encode())), Ok(answer));
        }
        let signal = Signal { number: 15, to_group: true };
        assert_eq!(Signal::decode(frame(&signal.encode())), Ok(signal));
    }

    #[test]
    fn a_frame_that_is_cut_or_has_more_bytes_is_refused() {
        for request in requests() {
            let bytes = request.encode();
            let bytes = frame(&bytes);
            for end in 0..bytes.len() {
                assert!(Request::decode(&bytes[..end]).is_err(), "{request:?} {end}");
            }
            assert!(Request::decode(&[bytes, b"x"].concat()).is_err());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_the_only_form_of_a_request() {
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> =
                (0..fastrand::usize(..40)).map(|_| fastrand::u8(..8)).collect();
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(request) = Request::decode(&bytes) {
                assert_eq!(frame(&request.encode()), bytes);
            }
        }
    }

    #[test]
    fn another_version_is_told_from_a_malformed_frame() {
        assert_eq!(Request::decode(&[2, 0]), Err(Invalid::Version(2)));
        assert_eq!(Request::decode(&[VERSION]), Err(Invalid::Malformed));
        assert_eq!(Request::decode(&[VERSION, 99]), Err(Invalid::Malformed));
        for field in [0, 1, 17, u32::MAX] {
            assert_eq!(length(field.to_le_bytes(), 16), Err(Invalid::Malformed), "{field}");
        }
    }
}
