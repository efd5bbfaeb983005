//! What is not copied, or not as it was, when files change hands: as a line for the caller.

use wire::Dropped;

use crate::batch::Report;

/// The line with the counts; `None` if nothing was left out. `subject` is the first part of the
/// sentence; `links` says, in singular and plural, what is true of the links that are counted.
pub fn line(subject: &str, dropped: &Dropped, links: (&str, &str)) -> Option<String> {
    let Dropped { specials, bits, attributes, unreadable, links: outward } = *dropped;
    let kinds = [
        (specials, "FIFO, socket or device", "FIFOs, sockets or devices"),
        (
            bits,
            "set-user-ID, set-group-ID or sticky bit",
            "set-user-ID, set-group-ID or sticky bits",
        ),
        (attributes, "access list or system attribute", "access lists or system attributes"),
        (unreadable, "file of another user", "files of another user"),
        (outward, links.0, links.1),
    ];
    let counted: Vec<String> = kinds
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, several)| format!("{count} {}", if count == 1 { one } else { several }))
        .collect();
    (!counted.is_empty()).then(|| format!("condor_glexec_pilot: {subject}: {}", counted.join(", ")))
}

/// Reports what has not come back with the payload's files.
pub fn report_losses(report: &mut Report<'_>) {
    let links = ("link that leads out of the sandbox", "links that lead out of the sandbox");
    let line = report.moved.and_then(|(_, dropped)| {
        line("of the payload's files has not come back, or not as it was", &dropped, links)
    });
    if let Some(line) = line {
        report.notice(&line);
    }
}
