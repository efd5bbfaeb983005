//! What the daemon answers.

use sys::wait::End;
use sys::{Pid, Uid};

use super::fields::put_bytes;
use super::{Invalid, close, open};

/// An answer of the daemon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request was read, and a process works on it.
    Working,
    /// The command is executed.
    Started {
        /// The id of the payload: 16 hexadecimal digits.
        payload: String,
        /// Its process.
        pid: Pid,
        /// The user that it runs as.
        user: Uid,
    },
    /// The payload has ended so, and all that is done after it.
    Ended(End),
    /// Why the request is refused, or what has failed after the payload: an exit status of a
    /// switcher, and one line.
    Refused {
        /// The status.
        status: u8,
        /// The line.
        text: String,
    },
    /// What was asked for: lines.
    Text(String),
}

impl Answer {
    /// The frame, with its length field.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let kind = match self {
            Answer::Working => 0,
            Answer::Started { payload, pid, user } => {
                put_bytes(&mut fields, payload.as_bytes());
                fields.extend_from_slice(&pid.as_raw().to_le_bytes());
                fields.extend_from_slice(&user.as_raw().to_le_bytes());
                1
            }
            Answer::Ended(end) => {
                let (how, number) = match end {
                    End::Exited(status) => (0, status),
                    End::Killed(signal) => (1, signal),
                };
                fields.push(how);
                fields.extend_from_slice(&number.to_le_bytes());
                2
            }
            Answer::Refused { status, text } => {
                fields.push(*status);
                put_bytes(&mut fields, text.as_bytes());
                3
            }
            Answer::Text(text) => {
                put_bytes(&mut fields, text.as_bytes());
                4
            }
        };
        close(kind, &fields)
    }

    /// Decodes the bytes of a frame without the length field.
    pub fn decode(bytes: &[u8]) -> Result<Answer, Invalid> {
        let (kind, mut fields) = open(bytes)?;
        let answer = match kind {
            0 => Answer::Working,
            1 => Answer::Started {
                payload: fields.text()?,
                pid: Pid::from_raw(fields.i32()?),
                user: Uid::from_raw(fields.u32()?),
            },
            2 => {
                let is_killed = fields.flag()?;
                let number = fields.i32()?;
                Answer::Ended(if is_killed { End::Killed(number) } else { End::Exited(number) })
            }
            3 => Answer::Refused { status: fields.byte()?, text: fields.text()? },
            4 => Answer::Text(fields.text()?),
            _ => return Err(Invalid::Malformed),
        };
        fields.end()?;
        Ok(answer)
    }

    #[cfg(test)]
    pub(super) fn examples() -> Vec<Answer> {
        vec![
            Answer::Working,
            Answer::Started {
                payload: "0123456789abcdef".into(),
                pid: Pid::from_raw(7),
                user: Uid::from_raw(3001),
            },
            Answer::Ended(End::Exited(203)),
            Answer::Ended(End::Killed(34)),
            Answer::Refused { status: 202, text: "the daemon is full".into() },
            Answer::Text("{}\n".into()),
        ]
    }
}
