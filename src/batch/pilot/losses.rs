//! What does not come across when files change hands, as a line for the caller.

use wire::Dropped;

/// Counts what was left behind on the way `where_from`; none if nothing was. `links` says what
/// became of the links that are counted.
pub fn line(where_from: &str, dropped: &Dropped, links: (&str, &str)) -> Option<String> {
    let Dropped { specials, bits, attributes, unreadable, links: outward } = *dropped;
    let kinds = [
        (specials, "FIFO, socket or device", "FIFOs, sockets or devices"),
        (
            bits,
            "set-user-ID, set-group-ID or sticky bit",
            "set-user-ID, set-group-ID or sticky bits",
        ),
        (
            attributes,
            "access list or attribute of the system's",
            "access lists or attributes of the system's",
        ),
        (unreadable, "file of another user's", "files of another user's"),
        (outward, links.0, links.1),
    ];
    let counted: Vec<String> = kinds
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, several)| format!("{count} {}", if count == 1 { one } else { several }))
        .collect();
    (!counted.is_empty())
        .then(|| format!("condor_glexec_pilot: {where_from}: {}", counted.join(", ")))
}
