//! The tree of files as it is built: what is mounted where.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::mount_tree::{
    Links, NewFileSystem, Restriction, Tree, is_proc, mount_new, open_in, restrict_below,
};
use sys::{Errno, Kind, Name, OPath};

/// More entries than this are not mounted one by one, to make room for another one.
const MOST_ENTRIES: usize = 10_000;

/// The tree of a payload that is not in it yet.
pub(crate) struct View {
    /// The root directory that the payload will have.
    root: OPath,
    /// Whether that is not this process's.
    has_new_root: bool,
    /// The file system of the payload's /tmp, which also has what else is made for the payload.
    base: OPath,
    /// How many directories were made there.
    count: usize,
    /// What becomes read-only at the end: until then mount points are made there.
    open: Vec<Tree>,
    /// Places that the payload can write to.
    writable: Vec<PathBuf>,
    /// Whether a directory that is replaced to make room is as closed as before: this process can
    /// look into directories that neither the caller nor the payload can.
    keeps_modes: bool,
}

/// What is made of a failed step on a path.
pub(crate) fn failed(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> Refusal {
    let path = Shown::os(path).to_string();
    move |cause| {
        let hint = match cause {
            Errno::ENOSYS => "; the closed world needs Linux 5.12 or newer",
            Errno::EPERM | Errno::EACCES => {
                "; this machine does not allow it: condor_glexec_pilot doctor says more"
            }
            _ => "",
        };
        Refusal::internal(format!("cannot {step} {path} for the closed world: {cause}{hint}"))
    }
}

impl View {
    /// The machine's tree, all of it read-only, or a directory as the root. The private file system
    /// is mounted above the machine's /tmp, with these options. `keeps_modes`: this process is
    /// root's.
    pub(crate) fn new(root: Option<&OPath>, options: &str, keeps_modes: bool) -> Result<View> {
        let top = Path::new("/");
        let machine = OPath::root().map_err(failed("open", top))?;
        let image = root.map(Tree::of).transpose().map_err(failed("copy the mount of", top))?;
        restrict_below(&machine, Restriction::ReadOnly).map_err(failed("make read-only", top))?;
        let tmp = Path::new("/tmp");
        let open = || open_in(&machine, tmp, Links::Followed).map_err(failed("open", tmp));
        mount_new(NewFileSystem::Memory, &open()?, options)
            .map_err(failed("mount a file system on", tmp))?;
        let base = open()?;
        let mut view = View {
            root: machine,
            has_new_root: false,
            base,
            count: 0,
            open: Vec::new(),
            writable: Vec::new(),
            keeps_modes,
        };
        if let Some(image) = image {
            image.restrict(Restriction::ReadOnly).map_err(failed("make read-only", top))?;
            view.replace_root(&image)?;
        }
        Ok(view)
    }

    /// Makes what this tree shows the root directory.
    fn replace_root(&mut self, tree: &Tree) -> Result<()> {
        let step = "mount the root directory";
        let point = self.fresh(0o755)?;
        tree.attach(&point).map_err(failed(step, Path::new("/")))?;
        let name = (self.count - 1).to_string();
        self.root = open_in(&self.base, name.as_ref(), Links::Refused)
            .map_err(failed(step, Path::new("/")))?;
        self.has_new_root = true;
        Ok(())
    }

    /// A new empty directory.
    pub(crate) fn fresh(&mut self, mode: u32) -> Result<OPath> {
        let name = self.count.to_string();
        self.count += 1;
        let name = Name::new(name.as_bytes()).ok_or_else(no_name)?;
        self.base
            .make_dir(name, mode)
            .and_then(|()| self.base.directory(name))
            .map_err(failed("make a directory in", Path::new("/tmp")))
    }

    /// A new file with this content.
    pub(crate) fn fresh_file(&mut self, content: &[u8]) -> Result<Tree> {
        let name = self.count.to_string();
        self.count += 1;
        let name = Name::new(name.as_bytes()).ok_or_else(no_name)?;
        self.base
            .make_file(name, content)
            .and_then(|()| self.base.entry(name))
            .and_then(|file| Tree::of(&file))
            .map_err(failed("make a file in", Path::new("/tmp")))
    }

    /// What the payload sees at a path; none if there is nothing.
    pub(crate) fn find(&self, path: &Path) -> Result<Option<OPath>> {
        match open_in(&self.root, path, Links::Followed) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(cause) => Err(failed("open", path)(cause)),
        }
    }

    /// Whether something that was made for the payload is what it sees there.
    fn is_own(&self, file: &OPath) -> bool {
        let device = |file: &OPath| file.stat().map(|stat| stat.identity().0).ok();
        device(file).is_some() && device(file) == device(&self.base)
    }

    /// Covers a place with a directory of [`View::fresh`], which becomes read-only at the end, or
    /// stays writable.
    pub(crate) fn cover(&mut self, path: &Path, with: &OPath, access: Access) -> Result<()> {
        let point = self.point(path, true)?;
        self.cover_point(&point, path, with, access)
    }

    /// The same, where the place is open.
    fn cover_point(
        &mut self,
        point: &OPath,
        path: &Path,
        with: &OPath,
        access: Access,
    ) -> Result<()> {
        let tree = Tree::of(with).map_err(failed("copy the mount for", path))?;
        tree.attach(point).map_err(failed("mount", path))?;
        match access {
            Access::ReadOnly => self.open.push(tree),
            Access::Writable => self.writable.push(path.to_owned()),
        }
        Ok(())
    }

    /// Covers a directory with an empty one, or a file with an empty one, if it exists.
    pub(crate) fn hide(&mut self, path: &Path) -> Result<()> {
        let Some(point) = self.find(path)? else { return Ok(()) };
        let kind = point.stat().map_err(failed("examine", path))?.kind();
        require_not_proc(&point, path)?;
        match kind {
            _ if self.is_own(&point) => Ok(()),
            Kind::Directory => {
                let empty = self.fresh(0o755)?;
                self.cover_point(&point, path, &empty, Access::ReadOnly)
            }
            _ => {
                let empty = self.fresh_file(b"")?;
                self.put(&empty, path, Access::ReadOnly)
            }
        }
    }

    /// Attaches a tree at a path, where a mount point is made if there is none.
    pub(crate) fn put(&mut self, tree: &Tree, at: &Path, access: Access) -> Result<()> {
        let is_directory =
            sys::file::stat(tree).map_err(failed("examine", at))?.kind() == Kind::Directory;
        let restriction = match access {
            Access::ReadOnly => Restriction::ReadOnly,
            Access::Writable => Restriction::NoSetId,
        };
        tree.restrict(restriction).map_err(failed("restrict the mount of", at))?;
        let point = self.point(at, is_directory)?;
        require_not_proc(&point, at)?;
        tree.attach(&point).map_err(failed("mount", at))?;
        if access == Access::Writable {
            self.writable.push(at.to_owned());
        }
        Ok(())
    }

    /// Mounts a new file system on a directory.
    pub(crate) fn mount(&mut self, kind: NewFileSystem, at: &Path, options: &str) -> Result<()> {
        let point = self.point(at, true)?;
        mount_new(kind, &point, options).map_err(failed("mount a file system of its own on", at))
    }

    /// The place of a path, which is made if there is none.
    fn point(&mut self, at: &Path, is_directory: bool) -> Result<OPath> {
        let step = "make the mount point";
        loop {
            if let Some(found) = self.find(at)? {
                return Ok(found);
            }
            let mut ancestors = at.ancestors();
            let mut missing = ancestors.next().unwrap_or(at);
            let (above, directory) = loop {
                let Some(above) = ancestors.next() else {
                    return Err(failed(step, at)(Errno::ENOENT));
                };
                match self.find(above)? {
                    Some(found) => break (above, found),
                    None => missing = above,
                }
            };
            let name = missing.file_name().and_then(|name| Name::new(name.as_bytes()));
            let name = name.ok_or_else(no_name)?;
            if !self.is_own(&directory) {
                if let Some(writable) = self.writable.iter().find(|place| above.starts_with(place))
                {
                    return Err(Refusal::client(format!(
                        "{} does not exist: make it, since {} is the payload's to write to",
                        Shown::os(missing),
                        Shown::os(writable)
                    )));
                }
                self.make_room(above, &directory)?;
                continue;
            }
            match is_directory || missing != at {
                true => directory.make_dir(name, 0o755),
                false => directory.make_file(name, b""),
            }
            .map_err(failed(step, missing))?;
        }
    }

    /// Replaces a directory by a new one with the same entries, where others can be made.
    fn make_room(&mut self, path: &Path, directory: &OPath) -> Result<()> {
        let step = "make room for a mount point in";
        let room = self.fresh(0o755)?;
        if self.keeps_modes {
            close_as(&room, directory).map_err(failed(step, path))?;
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        directory
            .open_directory()
            .and_then(|open| {
                open.for_each_entry(|name, _| {
                    names.push(name.bytes().to_owned());
                    if names.len() > MOST_ENTRIES { Err(Errno::E2BIG) } else { Ok(()) }
                })
            })
            .and_then(|done| done)
            .map_err(failed(step, path))?;
        let mut trees = Vec::new();
        for bytes in &names {
            let name = Name::new(bytes).ok_or_else(no_name)?;
            // It can be gone by now.
            let Ok(entry) = directory.entry(name) else { continue };
            let kind = entry.stat().map_err(failed(step, path))?.kind();
            match kind {
                Kind::Symlink => entry
                    .read_link()
                    .and_then(|target| room.make_symlink(name, &target))
                    .map_err(failed(step, path))?,
                kind => {
                    match kind {
                        Kind::Directory => room.make_dir(name, 0o755),
                        _ => room.make_file(name, b""),
                    }
                    .map_err(failed(step, path))?;
                    trees.push((name, Tree::of(&entry).map_err(failed(step, path))?));
                }
            }
        }
        let new = Tree::of(&room).map_err(failed(step, path))?;
        match path.parent() {
            Some(_) => new.attach(directory).map_err(failed("mount", path))?,
            None => self.replace_root(&new)?,
        }
        let directory = self.find(path)?.ok_or_else(no_name)?;
        for (name, tree) in trees {
            let point = directory.entry(name).map_err(failed(step, path))?;
            tree.attach(&point).map_err(failed("mount", path))?;
        }
        self.open.push(new);
        Ok(())
    }

    /// Makes this the tree of this process: what was made for it becomes read-only, but for what
    /// the payload can write to.
    pub(crate) fn enter(self) -> Result<()> {
        let top = Path::new("/");
        for tree in &self.open {
            tree.seal().map_err(failed("make read-only what is made in", top))?;
        }
        match self.has_new_root {
            true => sys::mount_tree::pivot(&self.root),
            false => sys::process::chdir(top),
        }
        .map_err(failed("enter the root directory", top))
    }
}

/// Gives a new directory the owner of another one, and the mode as far as it lets other users pass
/// and read. Where an access control list allows more, the group's bits are its mask: so they count
/// for no group.
fn close_as(room: &OPath, directory: &OPath) -> sys::Result<()> {
    let stat = directory.stat()?;
    let bits = match directory.access_list()? {
        None => 0o755,
        Some(_) => 0o705,
    };
    room.set_owner_and_mode(stat.uid(), stat.gid(), stat.mode() & bits)
}

/// Refuses a place in /proc: nothing may cover what this process itself relies on there. The
/// payload's own is mounted above it in the end.
fn require_not_proc(point: &OPath, path: &Path) -> Result<()> {
    match is_proc(point).map_err(failed("examine", path))? {
        false => Ok(()),
        true => {
            let path = Shown::os(path);
            Err(Refusal::client(format!("cannot use {path} as a place: it is in /proc")))
        }
    }
}

/// Whether a payload can write to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It can only read it.
    ReadOnly,
    /// It can, if the file's own permissions allow it.
    Writable,
}

/// A name that the file system has, or that was made of digits, is one.
fn no_name() -> Refusal {
    Refusal::internal("a file for the closed world has no usable name")
}
