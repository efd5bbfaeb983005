//! The socket on descriptor 0, behind which is the helper that called.

use error::{ConnectionError, Context as _, Error, Result};
use sys::{fd, socket};
use wire::frame::VERSION;
use wire::{Channel, Frame};

/// Takes the helper's socket. To be called once.
pub fn take_socket() -> Result<Channel> {
    let socket = fd::take_standard_input().at("use", "descriptor 0")?;
    if !socket::is_local_stream(&socket) {
        let why = "it is not the helper's socket: the switcher does not pass it on \
            (sudo: the rule needs !use_pty, and no log_input)";
        return Err(Error::refused("descriptor 0", why));
    }
    Ok(Channel::new(socket))
}

/// Says the first word. The kernel tells the helper who says it.
pub fn greet(channel: &mut Channel) -> Result<()> {
    channel.send(Frame::Hello { version: VERSION }).map_err(broken)
}

/// Tells the helper why it has failed, if it still listens: who hears it on the socket need not
/// hear it again through the switcher.
pub fn give_up(channel: &mut Channel, error: Error) -> Result<()> {
    channel.send(Frame::Failed { text: error.to_string().as_bytes() }).map_err(|_| error)
}

/// The conversation broke.
pub fn broken(cause: ConnectionError) -> Error {
    Error::connection("the helper", cause)
}
