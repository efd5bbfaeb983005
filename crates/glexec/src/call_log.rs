//! The line of the log that a call writes.

use command::log::{Line, sandbox_of_credential};
use error::Shown;
use sys::Uid;

/// The facts about a call: the user id that its payload had, if it got one, its command, what is to
/// be said about session scripts, and why it was refused.
pub(crate) fn line(
    user: Option<Uid>,
    command: &[String],
    notes: &[String],
    error: Option<&str>,
) -> Line {
    let variable = |name: &str| std::env::var_os(name).map(|value| Shown::os(&value).to_string());
    let credential = variable("GLEXEC_CLIENT_CERT").or_else(|| variable("X509_USER_PROXY"));
    let sandbox = credential.as_ref().map(|credential| sandbox_of_credential(credential.as_ref()));
    let mut line = Line::default();
    line.text("sandbox", sandbox.map(|path| path.display().to_string()).as_deref());
    line.text("credential", credential.as_deref()).text("id", variable("GLEXEC_ID").as_deref());
    if let Some(user) = user {
        line.json("uid", user);
    }
    line.texts("command", command);
    if !notes.is_empty() {
        line.texts("session_scripts", notes);
    }
    line.text("error", error);
    line
}
