//! The socket on descriptor 0, which leads to the helper that called this agent.

use error::{ConnectionError, Context as _, Error, Result};
use sys::{socket, stdio};
use wire::frame::VERSION;
use wire::{Channel, Frame};

/// Takes the helper's socket off descriptor 0. May be called once.
pub(crate) fn take_socket() -> Result<Channel> {
    let socket = stdio::take_stdin().at("use", "descriptor 0")?;
    if !socket::is_unix_stream(&socket) {
        let why = "it is not the helper's socket: the switcher does not pass it on \
            (sudo: the rule needs !use_pty, and no log_input)";
        return Err(Error::refused("descriptor 0", why));
    }
    Ok(Channel::new(socket))
}

/// Sends the first frame. The kernel adds which process sends it.
pub(crate) fn send_hello(channel: &mut Channel) -> Result<()> {
    channel.send(Frame::Hello { version: VERSION }).map_err(connection_error)
}

/// Sends the reason of a failure to the helper. Returns it if the helper does not receive it: then
/// it goes to standard error instead.
pub(crate) fn send_failure(channel: &mut Channel, error: Error) -> Result<()> {
    channel.send(Frame::Failed { text: error.to_string().as_bytes() }).map_err(|_| error)
}

/// A function that a long task calls now and then, so that the helper does not drop this agent as
/// idle. The task notices a helper that is gone only at its end.
pub(crate) fn keep_alive(channel: &mut Channel) -> impl FnMut() {
    || {
        let _ = channel.keep_alive();
    }
}

/// The failure that a failed connection is.
pub(crate) fn connection_error(cause: ConnectionError) -> Error {
    Error::connection("the helper", cause)
}
