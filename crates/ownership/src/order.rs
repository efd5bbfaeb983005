//! What the options of a call ask for.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use command::program::Options;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;
use sys::dir::lstat;
use tree::{Place, sandbox_name};
use wire::Links;

use super::target::path_of;

/// A change of owner. The directories that it names are open: their parents, by the caller's
/// rights.
#[derive(Debug)]
pub enum Order {
    /// To the payload's user.
    Give {
        /// The directory.
        place: Place,
        /// The name that it gets, if that is another one.
        to: Option<Place>,
        /// The mode that it gets, if that is another one.
        mode: Option<u32>,
        /// The directory whose entries the caller moves into it, after they were examined.
        fill_from: Option<Place>,
        /// Whether the caller is asked before the last step.
        confirm: bool,
        /// The most entries that the directory itself may have.
        top_limit: Option<u64>,
    },
    /// To the caller.
    Take {
        /// The directory.
        place: Place,
        /// The empty directory with which it exchanges its name first.
        exchange: Option<Place>,
        /// What becomes of symbolic links that lead out of the directory.
        links: Links,
        /// Whether the processes of the payload's user are killed first.
        end: bool,
        /// The most entries that the directory itself may have.
        top_limit: Option<u64>,
    },
    /// To the caller, as it was: an earlier call was killed while it gave the directory.
    Undo {
        /// The directory.
        place: Place,
        /// Whether the processes of the payload's user are killed first.
        end: bool,
    },
}

/// The options that name a directory whose owner changes, each with those that can be beside it.
const OPERATIONS: [(&str, &[&str]); 4] = [
    ("hand-over", &["links", "report"]),
    ("give", &["to", "mode", "fill-from", "confirm", "top-limit"]),
    ("take", &["exchange", "links", "end", "top-limit"]),
    ("undo", &["end"]),
];

impl Order {
    /// Reads the options. They are a usage error if they make no order.
    pub fn read(options: &Options) -> Result<Order> {
        if !options.command().is_empty() {
            let operation = operation(&options.given().collect::<Vec<_>>())?;
            let why = format!("a command cannot be given together with --{operation}");
            return Err(Refusal::client(why));
        }
        Order::from_options(&options.given().collect::<Vec<_>>(), &mut place)
    }

    /// The same, from the names and values of options. `find` finds the place of a path that an
    /// option names.
    pub(super) fn from_options(
        options: &[(&str, &OsStr)],
        find: &mut dyn FnMut(&str, &OsStr) -> Result<Place>,
    ) -> Result<Order> {
        let operation = operation(options)?;
        let get =
            |name: &str| options.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        let place = find(operation, get(operation).unwrap_or_default())?;
        let mut other = |name| get(name).map(|path| other_place(name, path, find)).transpose();
        let top_limit = get("top-limit").map(top_limit).transpose()?;
        let end = get("end").is_some();
        Ok(match operation {
            "give" => Order::Give {
                place,
                to: other("to")?,
                mode: get("mode").map(mode).transpose()?,
                fill_from: other("fill-from")?,
                confirm: get("confirm").is_some(),
                top_limit,
            },
            "take" => Order::Take {
                place,
                exchange: other("exchange")?,
                links: get("links").map_or(Ok(Links::Copy), links)?,
                end,
                top_limit,
            },
            _ => Order::Undo { place, end },
        })
    }

    /// Whether it gives the directory to the payload's user.
    pub fn is_give(&self) -> bool {
        matches!(self, Order::Give { .. })
    }

    /// The name of its operation.
    pub fn direction(&self) -> &'static str {
        match self {
            Order::Give { .. } => "give",
            Order::Take { .. } => "take",
            Order::Undo { .. } => "undo",
        }
    }

    /// Where the kernel has the directory, and where it is afterwards if it gets another name.
    pub fn paths(&self) -> (PathBuf, Option<PathBuf>) {
        // Of a parent that is not there any more, the name alone is known.
        let path = |place: &Place| {
            sys::fd::path_of(&place.parent).unwrap_or_default().join(place.name.name().os())
        };
        let mut places = self.places_of_directory().map(path);
        (places.next().unwrap_or_default(), places.next())
    }

    /// Whether the processes of the payload's user are killed first.
    pub fn ends_processes(&self) -> bool {
        matches!(self, Order::Take { end: true, .. } | Order::Undo { end: true, .. })
    }

    /// A usage error if this file is in the directory, or is it: calls of `glexec` need the file,
    /// and it has to stay the caller's.
    pub fn check_outside(&self, file: &Path) -> Result<()> {
        check_outside(self.place(), file)
    }

    /// A usage error if the directory belongs to a user other than the caller and the payload's
    /// user.
    pub fn check_owner(&self, [caller, user]: [Uid; 2]) -> Result<()> {
        let place = self.place();
        match place.parent.stat(place.name.name()).map(|found| found.uid()) {
            Ok(owner) if ![caller, user].contains(&owner) => Err(Refusal::client(format!(
                "{}: it belongs to uid {owner}, neither to you nor to the user of the lease, \
                     uid {user}",
                path_of(place)
            ))),
            _ => Ok(()),
        }
    }

    /// The directory.
    fn place(&self) -> &Place {
        let (Order::Give { place, .. } | Order::Take { place, .. } | Order::Undo { place, .. }) =
            self;
        place
    }

    /// The places that it names.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let others = match self {
            Order::Give { to, fill_from, .. } => [to.as_ref(), fill_from.as_ref()],
            Order::Take { exchange, .. } => [exchange.as_ref(), None],
            Order::Undo { .. } => [None; 2],
        };
        std::iter::once(self.place()).chain(others.into_iter().flatten())
    }

    /// The places that the directory has before and afterwards: what the change needs meanwhile is
    /// made beside them.
    pub(super) fn places_of_directory(&self) -> impl Iterator<Item = &Place> {
        let other = match self {
            Order::Give { to: other, .. } | Order::Take { exchange: other, .. } => other.as_ref(),
            Order::Undo { .. } => None,
        };
        std::iter::once(self.place()).chain(other)
    }
}

/// The operation that the options ask for, if they belong together.
pub(super) fn operation(options: &[(&str, &OsStr)]) -> Result<&'static str> {
    let is_given = |name: &str| options.iter().any(|(found, _)| *found == name);
    let mut asked = OPERATIONS.iter().filter(|(name, _)| is_given(name));
    let (Some((operation, allowed)), None) = (asked.next(), asked.next()) else {
        let why = "exactly one of --give, --take, --undo and --hand-over must be given";
        return Err(Refusal::client(why));
    };
    // A payload has a world.
    let is_of_payload = |name: &str| *operation == "hand-over" && world::OPTIONS.contains(&name);
    let is_other =
        |name: &&str| name != operation && !allowed.contains(name) && !is_of_payload(name);
    match options.iter().map(|(name, _)| *name).find(is_other) {
        Some(other) => {
            let why = format!("--{other} cannot be given together with --{operation}");
            Err(Refusal::client(why))
        }
        None => Ok(operation),
    }
}

/// A usage error if this file is in the directory at a place, or is the directory: calls of
/// `glexec` need it, and it has to stay the caller's.
pub(super) fn check_outside(place: &Place, file: &Path) -> Result<()> {
    let Ok(directory) = place.parent.stat(place.name.name()) else { return Ok(()) };
    let is_directory =
        |path: &Path| lstat(path).is_ok_and(|found| found.identity() == directory.identity());
    if file.ancestors().any(is_directory) {
        return Err(Refusal::client(format!(
            "{}: it contains {}, which must stay yours: move that elsewhere first",
            path_of(place),
            Shown::os(file)
        )));
    }
    Ok(())
}

/// The place of the directory that an option names.
pub(super) fn place(option: &str, path: &OsStr) -> Result<Place> {
    Place::find(Path::new(path))
        .map_err(|error| Refusal::client(format!("cannot use the path of --{option}: {error}")))
}

/// A further name for the directory. It must not be one that the helpers remove as left over.
fn other_place(
    option: &str,
    path: &OsStr,
    find: &mut dyn FnMut(&str, &OsStr) -> Result<Place>,
) -> Result<Place> {
    let place = find(option, path)?;
    let name = place.name.name().bytes();
    if sandbox_name(name) != name {
        return Err(Refusal::client(format!(
            "cannot use the path of --{option}: {}: this is a temporary name, which is removed \
             later",
            Shown::os(path)
        )));
    }
    Ok(place)
}

fn mode(text: &OsStr) -> Result<u32> {
    let mode = text.to_str().and_then(|text| u32::from_str_radix(text, 8).ok());
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        Refusal::client(format!("--mode is not an octal number up to 777: {}", Shown::os(text)))
    })
}

fn top_limit(text: &OsStr) -> Result<u64> {
    text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Refusal::client(format!("--top-limit is not a number of entries: {}", Shown::os(text)))
    })
}

/// The value of `--links`.
pub(super) fn links(text: &OsStr) -> Result<Links> {
    match text.to_str() {
        Some("copy") => Ok(Links::Copy),
        Some("keep") => Ok(Links::Keep),
        Some("drop") => Ok(Links::Drop),
        _ => {
            Err(Refusal::client(format!("--links must be copy, keep or drop: {}", Shown::os(text))))
        }
    }
}
