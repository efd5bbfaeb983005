//! The report of a change of owner: one line of JSON.

use command::log::Line;
use command::refusal::{Refusal, Status};
use sys::wait::End;
use tree::Place;
use tree::owner::{Scan, Taken};
use wire::Totals;

use super::target::path_of;
use super::users::Users;

/// A directory was given, and is at this place. Each name of a file counts as a file.
pub(super) fn given(place: &Place, users: Users, scan: &Scan) -> String {
    begin("give", place, users, &scan.totals).to_object()
}

/// The payload that had a directory has ended in this way; the processes that it left were killed.
pub(super) fn ended(place: &Place, users: Users, end: End, killed: usize) -> String {
    let mut line = subject("end", place, users);
    line.text("payload_end", Some(&end.to_string())).json("killed", killed);
    line.to_object()
}

/// A directory was not taken, and why; it is as the payload left it, unless a change had begun.
pub(super) fn not_taken(place: &Place, users: Users, why: &Refusal) -> String {
    let is_unchanged = matches!(why.status, Status::Copy | Status::Client);
    let mut line = subject("take", place, users);
    line.json("unchanged", is_unchanged).text("error", Some(&why.text));
    line.to_object()
}

/// What was given of a directory was taken back.
pub(super) fn undone(place: &Place, users: Users, taken: &Taken) -> String {
    begin("undo", place, users, &taken.totals).to_object()
}

/// A directory was taken, and is at this place.
pub(super) fn taken(place: &Place, users: Users, taken: &Taken) -> String {
    let mut copied = Line::default();
    for (reason, count) in [
        ("written", taken.copied.written),
        ("unproved", taken.copied.unproved),
        ("outer_names", taken.copied.outer_names),
        ("writable", taken.copied.writable),
        ("attributes", taken.copied.attributes),
    ] {
        copied.json(reason, count);
    }
    let mut dropped = Line::default();
    for (what, count) in [
        ("special_files", taken.dropped.specials),
        ("mode_bits", taken.dropped.bits),
        ("attributes", taken.dropped.attributes),
        ("links", taken.dropped.links),
    ] {
        dropped.json(what, count);
    }
    let mut line = begin("take", place, users, &taken.totals);
    line.json("hard_links", taken.totals.links);
    line.json("copied", copied.to_object()).json("dropped", dropped.to_object());
    line.texts("removed_links", &taken.removed_links);
    line.to_object()
}

fn begin(operation: &str, place: &Place, users: Users, totals: &Totals) -> Line {
    let mut line = subject(operation, place, users);
    line.json("files", totals.files);
    line.json("directories", totals.directories);
    line.json("symlinks", totals.symlinks);
    line
}

fn subject(operation: &str, place: &Place, users: Users) -> Line {
    let mut line = Line::default();
    line.text("operation", Some(operation));
    line.text("directory", Some(&path_of(place)));
    line.json("uid", users.payload.uid);
    line
}
