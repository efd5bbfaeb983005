//! The marker of a node on which a job could not be started: `doctor --condor` says then that the
//! node is not fit, so that no other job comes.
//!
//! HTCondor runs a job again whose wrapper has failed, and often at once on the same node. So each
//! failure in a row lets the wrapper wait longer before it ends.

use std::path::Path;
use std::time::{Duration, SystemTime};

use error::{Context as _, Result};
use sys::{Dir, Errno, Name};
use tree::Place;

/// The name of the marker in the directory of the slot directories.
const MARKER: &str = "failed";

/// How long a marker counts without another failure.
const LIFETIME: Duration = Duration::from_secs(600);

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Writes the marker, with the reason. Returns how long to wait, which doubles with each failure.
pub fn set(directory: &Path, why: &str) -> Result<Duration> {
    let failures = read(directory).map_or(1, |(failures, _)| failures.saturating_add(1));
    let place = Place::find(&directory.join(MARKER))?;
    let text = format!("{failures}\n{why}\n");
    tree::replace(&place, &place.parent, &place.path, place.name.name(), text.as_bytes())?;
    Ok(Duration::from_secs(1 << failures.min(7)).min(MAX_WAIT))
}

/// How often it has failed in a row, and the last reason; none if no marker counts.
pub fn read(directory: &Path) -> Option<(u32, String)> {
    let path = directory.join(MARKER);
    let written = std::fs::metadata(&path).and_then(|found| found.modified()).ok()?;
    let is_old = SystemTime::now().duration_since(written).is_ok_and(|age| age > LIFETIME);
    if is_old {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let (failures, why) = text.split_once('\n')?;
    Some((failures.parse().ok()?, why.trim_end().to_owned()))
}

/// Removes the marker: a job was started.
pub fn clear(directory: &Path) -> Result<()> {
    let dir = Dir::open(directory).at("open the directory", directory)?;
    match Name::new(MARKER.as_bytes()).map_or(Ok(()), |name| dir.remove_file(name)) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(cause) => Err(cause).at("remove", directory.join(MARKER)),
    }
}
