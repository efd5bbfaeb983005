//! Entering the closed world: the steps, in their order.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::mount_tree::{self, Links, NewFileSystem, Tree, open_in};
use sys::switch::{self, Identity};
use sys::{Errno, Gid, Kind, OPath, Uid, dir, file, namespace, network, process};

use crate::devices::Devices;
use crate::spec::{Bind, Closed, Network};
use crate::view::{Access, View, failed};
use crate::{names, places};

/// How much the files of a payload's /tmp, /var/tmp and /dev/shm may have together, if the caller
/// does not say it: they are in memory.
const TMP_SIZE: u64 = 1 << 30;

/// The largest table of users or groups that is read, in bytes.
const LONGEST_TABLE: u64 = 64 << 20;

/// Who lives in the world.
#[derive(Clone, Debug)]
pub struct Inhabitant {
    /// The payload's user.
    pub user: Uid,
    /// The payload's group.
    pub group: Gid,
    /// The name of the user, if it is known.
    pub name: Option<String>,
    /// The sandbox, if the payload has one: a path without symbolic links. Its directory is hidden,
    /// with all other sandboxes in it.
    pub sandbox: Option<PathBuf>,
    /// Programs that must be there, whatever is hidden: paths without symbolic links.
    pub programs: Vec<PathBuf>,
    /// A root directory that the administrator has named: it is opened with the rights of this
    /// process. It counts more than that of the caller.
    pub root: Option<PathBuf>,
    /// What is seen, read-only, for the administrator: opened in the same way.
    pub mounts: Vec<Bind>,
    /// Whether the pid namespace is the payload's alone; else it sees only processes of its user.
    pub has_pid_namespace: bool,
}

/// With whose rights the caller's paths are opened.
#[derive(Clone, Copy, Debug)]
pub enum Opener<'a> {
    /// Those of this process.
    This,
    /// Those of a user: this process is root's ([`switch::become_root`]).
    User(&'a Identity),
}

impl Opener<'_> {
    /// Opens what a path of the caller's names. It has no links: those were resolved before.
    pub(crate) fn open(self, path: &Path) -> Result<OPath> {
        let open = || {
            let root = OPath::root()?;
            open_in(&root, path, Links::Refused)
        };
        self.with_rights(open).map_err(|cause| {
            Refusal::client(format!("cannot use {} in the closed world: {cause}", Shown::os(path)))
        })
    }

    fn with_rights<T>(self, work: impl FnOnce() -> sys::Result<T>) -> sys::Result<T> {
        match self {
            Opener::This => work(),
            Opener::User(user) => switch::with_files_of(user, work).and_then(|done| done),
        }
    }

    /// Reads a table of accounts that the world has at this path.
    fn read_table(self, table: &OPath, path: &Path) -> Result<Vec<u8>> {
        let refused = |why: &dyn std::fmt::Display| {
            let path = Shown::os(path);
            Refusal::client(format!("cannot read {path} in the closed world: {why}"))
        };
        if table.stat().map_err(|cause| refused(&cause))?.kind() != Kind::File {
            return Err(refused(&"it is not a regular file"));
        }
        let file = self.with_rights(|| table.open()).map_err(|cause| refused(&cause))?;
        let mut content = Vec::with_capacity(4096);
        file.take(LONGEST_TABLE + 1)
            .read_to_end(&mut content)
            .map_err(|error| refused(&sys::errno(&error)))?;
        match content.len() as u64 > LONGEST_TABLE {
            true => Err(refused(&"it is too large")),
            false => Ok(content),
        }
    }

    fn tree(self, path: &Path) -> Result<Tree> {
        Tree::of(&self.open(path)?).map_err(failed("copy the mount of", path))
    }
}

/// What a payload finds in its world.
#[derive(Clone, Debug)]
pub struct Home {
    /// Its home directory.
    pub path: PathBuf,
    /// The name of its user.
    pub name: String,
}

/// Puts this process into the closed world. It must have one thread and the rights to mount, as
/// root of its user namespace, or of the machine; then it becomes the payload's user, and executes
/// the command. Its working directory is that of the caller, or the one of the world.
pub fn enter(closed: &Closed, who: &Inhabitant, opener: Opener<'_>) -> Result<Home> {
    refuse_directories()?;
    let here = std::env::current_dir().ok();
    let own = |path: &PathBuf| dir::lstat(path).is_ok_and(|found| found.uid() == who.user);
    let network = match closed.network {
        Network::Machine => namespace::Network::Kept,
        Network::None => namespace::Network::Own,
    };
    namespace::unshare(network)
        .and_then(|()| mount_tree::separate())
        .map_err(failed("make the namespaces of", Path::new("/")))?;
    if closed.network == Network::None {
        network::loopback_up()
            .map_err(failed("start the loopback interface of", Path::new("/")))?;
    }
    let home = who.sandbox.clone().or_else(|| here.clone().filter(own));
    // A file that is made has the mode that is asked for.
    let umask = process::umask(0);
    let built = build(closed, who, home.as_deref(), opener);
    process::umask(umask);
    let (view, name) = built?;
    view.enter()?;
    enter_working_directory(closed, here.as_deref())?;
    Ok(Home { path: home.unwrap_or_else(|| PathBuf::from("/")), name })
}

/// A directory that a process has open leads out of every root.
fn refuse_directories() -> Result<()> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (number, fd) in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().enumerate() {
        if file::stat(&fd).is_ok_and(|found| found.kind() == Kind::Directory) {
            return Err(Refusal::client(format!(
                "descriptor {number} is a directory, which leads out of the closed world: close it"
            )));
        }
    }
    Ok(())
}

/// Builds the tree. Returns the name of the payload's user, too.
fn build(
    closed: &Closed,
    who: &Inhabitant,
    home: Option<&Path>,
    opener: Opener<'_>,
) -> Result<(View, String)> {
    // All that is named is opened before anything is hidden, and before it is read-only.
    let mut trees: Vec<(Tree, &Path, Access)> = Vec::new();
    for path in closed.writable.iter().map(PathBuf::as_path).chain(home) {
        trees.push((opener.tree(path)?, path, Access::Writable));
    }
    for bind in &closed.bind {
        trees.push((opener.tree(&bind.from)?, &bind.at, Access::Writable));
    }
    for bind in &closed.read_only {
        trees.push((opener.tree(&bind.from)?, &bind.at, Access::ReadOnly));
    }
    let programs = who.programs.iter();
    let programs: Vec<(Tree, &PathBuf)> =
        programs.map(|path| opener.tree(path).map(|tree| (tree, path))).collect::<Result<_>>()?;
    for bind in &who.mounts {
        trees.push((Opener::This.tree(&bind.from)?, &bind.at, Access::ReadOnly));
    }
    let root = match (&who.root, &closed.root) {
        (Some(root), _) => Some(Opener::This.open(root)?),
        (None, Some(root)) => Some(opener.open(root)?),
        (None, None) => None,
    };
    let of_machine: &[&str] = if root.is_some() { &places::OF_MACHINE } else { &places::KEPT };
    let machine = OPath::root().map_err(failed("open", Path::new("/")))?;
    let kept = of_machine.iter().map(Path::new).filter_map(|path| {
        let found = open_in(&machine, path, Links::Followed).ok()?;
        Some((Tree::of(&found).ok()?, path))
    });
    let kept: Vec<(Tree, &Path)> = kept.collect();
    let devices = Devices::open(&closed.devices, opener)?;
    let sys = root.as_ref().map(|_| Opener::This.tree(Path::new("/sys"))).transpose()?;

    let keeps_modes = matches!(opener, Opener::User(_));
    let mut view = View::new(root.as_ref(), &tmp_options(closed), keeps_modes)?;
    let (tmp, var_tmp, shm) = (view.fresh(0o1777)?, view.fresh(0o1777)?, view.fresh(0o1777)?);
    places::HIDDEN.iter().try_for_each(|path| view.hide(Path::new(path)))?;
    devices.make(&mut view, &shm)?;
    view.cover(Path::new("/var/tmp"), &var_tmp, Access::Writable)?;
    view.cover(Path::new("/tmp"), &tmp, Access::Writable)?;
    let sandboxes = who.sandbox.as_deref().and_then(Path::parent);
    if let Some(directory) = sandboxes.filter(|directory| places::can_hide(directory)) {
        view.hide(directory)?;
    }
    closed.hide.iter().try_for_each(|path| view.hide(path))?;
    for (tree, at) in &kept {
        if root.is_none() || view.find(at)?.is_some() {
            view.put(tree, at, Access::ReadOnly)?;
        }
    }
    if let Some(sys) = &sys {
        view.put(sys, Path::new("/sys"), Access::ReadOnly)?;
    }
    // What is mounted in something else comes after it.
    trees.sort_by_key(|(_, at, _)| at.components().count());
    trees.iter().try_for_each(|(tree, at, access)| view.put(tree, at, *access))?;
    for (tree, path) in &programs {
        if view.find(path)?.is_none() {
            view.put(tree, path, Access::ReadOnly)?;
        }
    }
    let name = make_names(&mut view, who, home, opener)?;
    let options = if who.has_pid_namespace { "" } else { "hidepid=invisible" };
    view.mount(NewFileSystem::Processes, Path::new("/proc"), options)?;
    Ok((view, name))
}

/// The options of the private file system. Each file takes memory beside its content, so the number
/// is limited, too.
fn tmp_options(closed: &Closed) -> String {
    let size = closed.tmp_size.unwrap_or(TMP_SIZE);
    // What is made for the payload is there, too.
    let (size, files) = (size.saturating_add(1 << 20), (size / 4096).saturating_add(1024));
    format!("mode=0755,size={size},nr_inodes={files}")
}

/// Gives the payload's user and group names; returns the user's.
fn make_names(
    view: &mut View,
    who: &Inhabitant,
    home: Option<&Path>,
    opener: Opener<'_>,
) -> Result<String> {
    // The caller can have put any file there, also one that only root can read.
    let table = |view: &View, path: &Path| match view.find(path)? {
        Some(found) => opener.read_table(&found, path),
        None => Ok(Vec::new()),
    };
    let home = home.unwrap_or(Path::new("/"));
    let (user, group) = (who.user.as_raw(), who.group.as_raw());
    let (passwd, groups) = (Path::new("/etc/passwd"), Path::new("/etc/group"));
    let passwd_table =
        names::passwd(&table(view, passwd)?, (user, who.name.as_deref()), group, home);
    let group_table = names::group(&table(view, groups)?, group);
    let name = names::name_of(&passwd_table, user);
    for (path, content) in [(passwd, passwd_table), (groups, group_table)] {
        let file = view.fresh_file(&content)?;
        view.put(&file, path, Access::ReadOnly)?;
    }
    Ok(name)
}

/// Enters the working directory, by its path in the world.
fn enter_working_directory(closed: &Closed, here: Option<&Path>) -> Result<()> {
    let Some(path) = closed.cwd.as_deref().or(here) else { return Ok(()) };
    process::chdir(path).map_err(|cause| {
        let path = Shown::os(path);
        match cause {
            Errno::ENOENT => Refusal::client(format!(
                "the working directory {path} is not in the closed world: name another one with \
                 --cwd, or this one with --read-only or --writable"
            )),
            cause => Refusal::client(format!("cannot enter the working directory {path}: {cause}")),
        }
    })
}
