//! What a client asks for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::fields::{Fields, put_bytes, put_words};
use super::{Invalid, close, open};

/// A request: the first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To run a command. The connection is the payload's as long as that runs.
    Run(Run),
    /// To tell what the client's leases and payloads are.
    Status,
    /// To end the lease of a credential.
    Release,
    /// To end all payloads of the lease of a credential.
    End,
    /// To change the owner of a directory. The connection is the change's as long as that lasts.
    Owner(Change),
}

/// A change of owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The options: each one's name and its value, which is empty for one without.
    pub options: Vec<OsString>,
    /// The variables of the client's environment that say who it is.
    pub environment: Vec<(OsString, OsString)>,
    /// How many directories are passed: the parents of the paths that the options name.
    pub directories: u8,
}

impl Change {
    /// The most directories.
    const MOST_DIRECTORIES: u8 = 3;
    /// The most words of options.
    const MOST_WORDS: usize = 32;
}

/// A command, and what its process gets of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments: at least one word, and not empty.
    pub command: Vec<OsString>,
    /// The options of the payload's world, as words.
    pub world: Vec<OsString>,
    /// The client's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The permission bits that new files do not get.
    pub umask: u32,
    /// Whether a proxy to copy for the payload is passed.
    pub has_proxy: bool,
    /// Whether the payload goes on after the end of the connection.
    pub lingers: bool,
}

impl Request {
    /// How many descriptors are passed with it. For a command: standard input, output and error,
    /// the working directory, the credential, and the proxy if there is one. For the end of a lease
    /// or of its payloads: the credential. For a change of owner: standard input, output and error,
    /// the credential, and the directories.
    pub fn descriptors(&self) -> usize {
        match self {
            Request::Run(run) => 5 + usize::from(run.has_proxy),
            Request::Release | Request::End => 1,
            Request::Owner(change) => 4 + usize::from(change.directories),
            Request::Status => 0,
        }
    }

    /// The frame, with its length field.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let kind = match self {
            Request::Run(run) => {
                fields.extend_from_slice(&run.umask.to_le_bytes());
                fields.extend([u8::from(run.has_proxy), u8::from(run.lingers)]);
                put_words(&mut fields, run.command.iter().map(OsString::as_os_str));
                put_words(&mut fields, run.world.iter().map(OsString::as_os_str));
                put_variables(&mut fields, &run.environment);
                0
            }
            Request::Status => 1,
            Request::Release => 2,
            Request::End => 3,
            Request::Owner(change) => {
                fields.push(change.directories);
                put_words(&mut fields, change.options.iter().map(OsString::as_os_str));
                put_variables(&mut fields, &change.environment);
                4
            }
        };
        close(kind, &fields)
    }

    /// Decodes the bytes of a frame without the length field.
    pub fn decode(bytes: &[u8]) -> Result<Request, Invalid> {
        let (kind, mut fields) = open(bytes)?;
        let request = match kind {
            0 => Request::Run(Run::decode(&mut fields)?),
            1 => Request::Status,
            2 => Request::Release,
            3 => Request::End,
            4 => Request::Owner(Change::decode(&mut fields)?),
            _ => return Err(Invalid::Malformed),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Run {
    fn decode(fields: &mut Fields<'_>) -> Result<Run, Invalid> {
        let umask =
            Some(fields.u32()?).filter(|umask| *umask <= 0o777).ok_or(Invalid::Malformed)?;
        let (has_proxy, lingers) = (fields.flag()?, fields.flag()?);
        let command = fields.words()?;
        if command.first().is_none_or(|program| program.is_empty()) {
            return Err(Invalid::Malformed);
        }
        let world = fields.words()?;
        let environment = variables(fields)?;
        Ok(Run { command, world, environment, umask, has_proxy, lingers })
    }
}

impl Change {
    fn decode(fields: &mut Fields<'_>) -> Result<Change, Invalid> {
        let directories = fields.byte()?;
        let options = fields.words()?;
        let is_valid = directories <= Change::MOST_DIRECTORIES
            && options.len() <= Change::MOST_WORDS
            && options.len() % 2 == 0;
        match is_valid {
            true => Ok(Change { options, environment: variables(fields)?, directories }),
            false => Err(Invalid::Malformed),
        }
    }
}

/// Appends variables.
fn put_variables(to: &mut Vec<u8>, environment: &[(OsString, OsString)]) {
    let mut variables = Vec::new();
    for (name, value) in environment {
        variables.extend_from_slice(name.as_bytes());
        variables.push(b'=');
        variables.extend_from_slice(value.as_bytes());
        variables.push(0);
    }
    put_bytes(to, &variables);
}

/// Variables.
fn variables(fields: &mut Fields<'_>) -> Result<Vec<(OsString, OsString)>, Invalid> {
    let words = fields.words()?;
    words.iter().map(|word| variable(word)).collect::<Option<_>>().ok_or(Invalid::Malformed)
}

/// A variable `NAME=VALUE`; the name is not empty.
fn variable(word: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((part(&bytes[..at]), part(&bytes[at + 1..])))
}

/// A signal for the payload of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number, 1 to 64.
    pub number: i32,
    /// Whether the payload's process group gets it, as from a terminal; else its process.
    pub to_group: bool,
}

impl Signal {
    const KIND: u8 = 64;

    /// The frame, with its length field.
    pub fn encode(&self) -> Vec<u8> {
        let number = u8::try_from(self.number).unwrap_or(0);
        close(Signal::KIND, &[number, u8::from(self.to_group)])
    }

    /// Decodes the bytes of a frame without the length field.
    pub fn decode(bytes: &[u8]) -> Result<Signal, Invalid> {
        let (kind, mut fields) = open(bytes)?;
        let number = i32::from(fields.byte()?);
        let to_group = fields.flag()?;
        fields.end()?;
        match kind == Signal::KIND && (1..=64).contains(&number) {
            true => Ok(Signal { number, to_group }),
            false => Err(Invalid::Malformed),
        }
    }
}
