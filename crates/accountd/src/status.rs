//! What a client is told of its leases and payloads: one JSON object a line.

use std::fmt::Write as _;

use command::log::Line;
use command::refusal::Result;
use error::Shown;
use root::accounts::{self as leases, LeaseRecord};
use sys::Uid;

/// The leases of a client, and after each its payloads.
pub(crate) fn of(client: Uid) -> Result<String> {
    let mut text = String::new();
    for lease in leases::leases()?.into_iter().filter(|lease| lease.client == client) {
        let _ = writeln!(text, "{}", line_of(&lease));
        for payload in leases::payloads(&lease.account)? {
            if payload.lease != lease.lease {
                continue;
            }
            let mut line = Line::default();
            line.text("payload", Some(&payload.payload)).text("lease", Some(&payload.lease));
            line.json("begun", payload.begun).json("is_running", payload.is_running);
            if let Some(pid) = payload.pid {
                line.json("pid", pid);
            }
            line.text("end", payload.end.as_deref()).text("command", Some(&payload.command));
            let _ = writeln!(text, "{}", line.to_object());
        }
    }
    Ok(text)
}

fn line_of(lease: &LeaseRecord) -> String {
    let mut line = Line::default();
    line.text("lease", Some(&lease.lease));
    line.text("account", Some(&Shown(&lease.account).to_string())).json("uid", lease.uid);
    line.text("credential", Some(&Shown::os(&lease.credential.path).to_string()));
    line.json("begun", lease.begun).json("until", lease.until).json("used", lease.used);
    line.to_object()
}
