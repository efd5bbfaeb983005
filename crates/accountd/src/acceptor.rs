//! The loop of the daemon: it accepts connections, and starts a process for each that sends
//! something. It reads nothing that a client sends, and closes no descriptor that a client has
//! passed: a file system of the client's could delay that.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use cgroup::Cgroup;
use command::refusal::{Refusal, Result};
use root::accounts::audit::{self, Event};
use root::accounts::{connections, end};
use root::config::Config;
use root::log::{Level, Log};
use sys::fork::{self, Fork};
use sys::signal::{Received, SIGCHLD, SIGINT, SIGTERM, Signals};
use sys::socket::{self, Peer};
use sys::{Errno, Pid, Uid, fd, process, wait};

use crate::connection::Connection;
use crate::files::Files;
use crate::listen::Listener;
use crate::supervisor::Supervisor;

/// How long a connection may be open before its first byte.
const IDLE: Duration = Duration::from_secs(10);

/// How often leases that are over are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The most connections that have sent nothing yet: the rest waits to be accepted.
const MOST_IDLE: usize = 8192;

/// The most of them that one client has: for a further one its oldest is ended. So a few clients do
/// not take the places of all others. It is more than calls that have connected, and are about to
/// send their request, as many as a machine starts at a time.
const MOST_IDLE_OF_CLIENT: usize = 256;

/// How many connections are accepted before others get their turn.
const AT_ONCE: usize = 64;

/// When a process is tried again that could not be started.
const RETRY: Duration = Duration::from_millis(50);

/// How many descriptors are kept for the start of a process. It needs three.
const RESERVE: usize = 8;

/// So many connections over its limit a client can have that are only told so.
const OVER: u32 = 16;

/// What the process of a connection does.
enum Task {
    /// It serves the client.
    Serve,
    /// It tells a refusal.
    Refuse(Refusal),
    /// It ends: with it what the client may have sent already. To close a descriptor of a client's
    /// can take as long as the client likes, even that of a socket (SO_LINGER, socket(7)).
    Close,
}

/// The daemon.
pub(crate) struct Acceptor {
    listener: Listener,
    signals: Signals,
    files: Files,
    cgroups: Option<Cgroup>,
    config: Config,
    idle: Vec<Idle>,
    /// The connections whose processes could not be started. As long as there is one, none is
    /// accepted: so they are few.
    waiting: Vec<(OwnedFd, Peer, Task)>,
    next_try: Instant,
    /// Descriptors that are given back while a process is started: so connections can be ended when
    /// none is left.
    reserve: Vec<OwnedFd>,
    /// The processes of connections, and whose these are.
    children: HashMap<Pid, Uid>,
    /// How many connections each client has.
    connections: HashMap<Uid, u32>,
    /// The processes of connections that an earlier daemon has accepted, by descriptors, and whose
    /// these are.
    earlier: Vec<(OwnedFd, Uid)>,
    /// The process that looks for leases which are over.
    sweeper: Option<Pid>,
    next_sweep: Instant,
}

/// A connection that has sent nothing yet.
struct Idle {
    socket: OwnedFd,
    peer: Peer,
    until: Instant,
}

/// As many of the descriptors in reserve as there are.
fn reserve(signals: &Signals) -> Vec<OwnedFd> {
    (0..RESERVE).map_while(|_| signals.as_fd().try_clone_to_owned().ok()).collect()
}

impl Acceptor {
    pub(crate) fn new(
        listener: Listener,
        files: Files,
        cgroups: Option<Cgroup>,
        config: Config,
    ) -> Result<Acceptor> {
        let signals = Signals::open()
            .map_err(|cause| Refusal::internal(format!("cannot wait for signals: {cause}")))?;
        let reserve = reserve(&signals);
        let earlier = connections::all();
        let mut connections = HashMap::new();
        for (_, user) in &earlier {
            *connections.entry(*user).or_default() += 1;
        }
        Ok(Acceptor {
            listener,
            signals,
            files,
            cgroups,
            config,
            idle: Vec::new(),
            waiting: Vec::new(),
            next_try: Instant::now(),
            reserve,
            children: HashMap::new(),
            connections,
            earlier,
            sweeper: None,
            next_sweep: Instant::now(),
        })
    }

    /// Serves until SIGTERM or SIGINT.
    pub(crate) fn run(mut self) -> Result<()> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        audit::write(&Event::DaemonStarted { boot: boot.trim_end() });
        loop {
            let [is_signal, is_connection] = self.wait();
            if is_signal && self.signal() {
                break;
            }
            self.refresh();
            if is_connection {
                self.accept();
            }
            self.sweep();
        }
        audit::write(&Event::DaemonStopped);
        self.listener.remove();
        Ok(())
    }

    /// Waits for the next event, and serves the connections that have sent something. Whether there
    /// are signals, and new connections.
    fn wait(&mut self) -> [bool; 2] {
        self.try_again();
        let is_full = self.idle.len() >= MOST_IDLE || !self.waiting.is_empty();
        let listener = if is_full { self.signals.as_fd() } else { self.listener.socket.as_fd() };
        let mut polled = vec![self.signals.as_fd(), listener];
        let first_end = if self.waiting.is_empty() {
            polled.extend(self.idle.iter().map(|idle| idle.socket.as_fd()));
            self.idle.iter().map(|idle| idle.until).min()
        } else {
            Some(self.next_try)
        };
        let deadline = first_end.unwrap_or(self.next_sweep).min(self.next_sweep);
        let Ok(ready) = fd::poll_all_readable(&polled, Some(deadline)) else { return [false; 2] };
        if !self.waiting.is_empty() {
            return [ready[0], false];
        }
        let now = Instant::now();
        let all = std::mem::take(&mut self.idle);
        for (idle, is_ready) in all.into_iter().zip(&ready[2..]) {
            if *is_ready {
                self.start(idle.socket, idle.peer, Task::Serve);
            } else if idle.until <= now {
                self.start(idle.socket, idle.peer, Task::Close);
            } else {
                self.idle.push(idle);
            }
        }
        [ready[0], ready[1] && !is_full]
    }

    /// Reads one signal. Whether the daemon has to end.
    fn signal(&mut self) -> bool {
        match self.signals.read() {
            Ok(Received { number: SIGCHLD, .. }) => {
                while let Some((pid, _)) = wait::try_wait_any() {
                    if self.sweeper == Some(pid) {
                        self.sweeper = None;
                    }
                    if let Some(user) = self.children.remove(&pid) {
                        self.forget(user);
                    }
                }
                false
            }
            Ok(Received { number: SIGTERM | SIGINT, .. }) => true,
            _ => false,
        }
    }

    /// One connection of a client is over.
    fn forget(&mut self, user: Uid) {
        if let Some(count) = self.connections.get_mut(&user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.connections.remove(&user);
            }
        }
    }

    /// Forgets the connections of an earlier daemon that are over.
    fn forget_earlier(&mut self) {
        let processes: Vec<_> = self.earlier.iter().map(|(process, _)| process.as_fd()).collect();
        let Ok(ended) = fd::poll_all_readable(&processes, Some(Instant::now())) else { return };
        for ((process, user), has_ended) in std::mem::take(&mut self.earlier).into_iter().zip(ended)
        {
            match has_ended {
                true => self.forget(user),
                false => self.earlier.push((process, user)),
            }
        }
    }

    /// Reads again what has changed in the lists.
    fn refresh(&mut self) {
        if let Err(refusal) = self.files.refresh() {
            let text = format!("{refusal}; the lists that were read before stay in force");
            Log::new(&self.config).write(Level::Error, text);
        }
    }

    fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            if !self.waiting.is_empty() {
                return;
            }
            match socket::accept(&self.listener.socket) {
                Ok(socket) => self.admit(socket),
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => {
                    // They wait in the queue of the socket. One that has sent nothing makes place.
                    match self.idle.is_empty() {
                        true => std::thread::sleep(Duration::from_millis(10)),
                        false => self.end_idle(0),
                    }
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Takes a new connection, if its client has not got too many.
    fn admit(&mut self, socket: OwnedFd) {
        let Ok(peer) = socket::peer(&socket) else { return };
        let user = peer.identity.user;
        let limit = self.config.client_limit;
        if self.connections.get(&user).is_some_and(|count| *count >= limit) {
            self.forget_earlier();
        }
        let count = self.connections.entry(user).or_default();
        *count += 1;
        if *count <= limit {
            self.make_place(user);
            self.idle.push(Idle { socket, peer, until: Instant::now() + IDLE });
        } else if *count <= limit.saturating_add(OVER) {
            let refusal = Refusal::internal(format!(
                "you have {limit} connections with the account daemon, which is the limit \
                 (client_limit): wait for the end of a payload"
            ));
            self.start(socket, peer, Task::Refuse(refusal));
        } else {
            self.start(socket, peer, Task::Close);
        }
    }

    /// Ends the oldest connection of a client that has its share of those that have sent nothing.
    fn make_place(&mut self, user: Uid) {
        let mut own = (0..).zip(&self.idle).filter(|(_, idle)| idle.peer.identity.user == user);
        let Some((oldest, _)) = own.next() else { return };
        if own.count() + 1 < MOST_IDLE_OF_CLIENT {
            return;
        }
        self.end_idle(oldest);
    }

    /// Ends a connection that has sent nothing.
    fn end_idle(&mut self, number: usize) {
        let Idle { socket, peer, .. } = self.idle.remove(number);
        // Its request may have arrived since the last look.
        let ready = fd::poll_all_readable(&[socket.as_fd()], Some(Instant::now()));
        let task = match ready.is_ok_and(|ready| ready == [true]) {
            true => Task::Serve,
            false => Task::Close,
        };
        self.start(socket, peer, task);
    }

    /// Starts the processes that could not be started before, until one cannot be started again.
    fn try_again(&mut self) {
        if Instant::now() < self.next_try {
            return;
        }
        let mut all = std::mem::take(&mut self.waiting).into_iter();
        while self.waiting.is_empty() {
            let Some((socket, peer, task)) = all.next() else { return };
            self.start(socket, peer, task);
        }
        self.waiting.extend(all);
    }

    /// Keeps a connection whose process cannot be started now: there are too many, or too many
    /// descriptors. This process does not close it, because of what its client may have sent.
    fn keep(&mut self, socket: OwnedFd, peer: Peer, task: Task) {
        self.waiting.push((socket, peer, task));
        self.next_try = Instant::now() + RETRY;
    }

    /// Starts the process of a connection.
    fn start(&mut self, socket: OwnedFd, peer: Peer, task: Task) {
        self.reserve.clear();
        self.fork(socket, peer, task);
        self.reserve = reserve(&self.signals);
    }

    fn fork(&mut self, socket: OwnedFd, peer: Peer, task: Task) {
        let user = peer.identity.user;
        // The child waits for the end of this pipe. Before that this process has closed its copy of
        // the socket: so it is never the last one, whose end closes what was sent and not read.
        let Ok((mut closed, open)) = fd::pipe() else {
            return self.keep(socket, peer, task);
        };
        match fork::fork() {
            Ok(Fork::Child) => {
                drop(open);
                // Nothing of the daemon's stays open here, above all not its socket.
                let keep = [socket.as_fd(), closed.as_fd()];
                if sys::inherited::release_all_but(&keep).is_err() {
                    process::_exit(0);
                }
                let _ = std::io::Read::read(&mut closed, &mut [0]);
                drop(closed);
                let supervisor =
                    Supervisor { peer: &peer, files: &self.files, cgroups: self.cgroups.as_ref() };
                match task {
                    Task::Serve => supervisor.serve(socket),
                    // A process that ends waits for no socket.
                    Task::Close => process::_exit(0),
                    Task::Refuse(refusal) => {
                        if let Ok(connection) = Connection::new(socket) {
                            supervisor.refuse(&connection, &refusal, "");
                        }
                    }
                }
                process::_exit(0)
            }
            Ok(Fork::Parent(pid)) => {
                self.children.insert(pid, user);
                drop(socket);
            }
            Err(_) => self.keep(socket, peer, task),
        }
    }

    /// Looks for leases that are over, in a process of its own.
    fn sweep(&mut self) {
        if Instant::now() < self.next_sweep {
            return;
        }
        self.next_sweep = Instant::now() + SWEEP;
        self.forget_earlier();
        connections::forget_all_but(|user| self.connections.contains_key(&user));
        if self.sweeper.is_some() {
            return;
        }
        match fork::fork() {
            Ok(Fork::Child) => {
                let _ = sys::inherited::release_all_but(&[]);
                if let Err(refusal) = end::sweep() {
                    Log::new(&self.config).write(Level::Error, refusal);
                }
                process::_exit(0)
            }
            Ok(Fork::Parent(pid)) => self.sweeper = Some(pid),
            Err(_) => {}
        }
    }
}
