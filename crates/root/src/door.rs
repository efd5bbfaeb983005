//! A call, from a caller that may be any user to the end of its payload: the steps, in their order.
//!
//! Each step is a module that can be read alone. A step that fails ends the call; before the fork
//! nothing was executed then. A lease needs no undoing: it ends by itself when no process has its
//! file open.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;

use ::world::Spec;
use command::accounts::Account;
use command::location::Location;
use command::payload::Proxy;
use command::refusal::{Refusal, Result};
use error::Shown;
use hooks::epilogue::Epilogue;
use sys::wait::End;
use sys::{Pid, switch};

use crate::config::{Config, Mapping};
use crate::credential::Credential;
use crate::epilogue::{self, Around};
use crate::limits::{self, Plan};
use crate::log::{Level, Log};
use crate::mapping::{self, Identity, Mapped, Mode};
use crate::origin::Origin;
use crate::payload::Payload;
use crate::sanitize::Start;
use crate::scripts::Scripts;
use crate::session::{self, Kind};
use crate::target::{self, Target};
use crate::watch::Watch;
use crate::world::{self, World};
use crate::{
    caller, credential, environment, family, linger, root_directory, scripts, start, verify,
};

/// Serves a call of a process that [`crate::sanitize::sanitize`] has prepared, or that is as if it
/// had: returns how the payload has ended, or why the call failed. Without `linger` it returns only
/// in the latter case.
pub fn serve(
    start: &Start,
    command: Vec<OsString>,
    world: Spec,
    config: &Config,
    origin: &mut dyn Origin,
) -> Result<End> {
    let log = Log::new(config);
    let id = start.environment.get("GLEXEC_ID").unwrap_or_default().to_owned();
    let call = Call { start, config, log, shown: shown(&command), id: Shown::os(&id).to_string() };
    let ended = call.steps(command, world, origin);
    if let Err(refusal) = &ended {
        let (status, text) = (refusal.status as u8, &refusal.text);
        call.log(Level::Error, &format!("status {status}: {text}"));
    }
    ended
}

/// The words of a command, as the log shows them.
pub fn shown(command: &[OsString]) -> String {
    let words: Vec<String> = command.iter().map(|word| Shown::os(word).to_string()).collect();
    words.join(" ")
}

/// What the steps of a call need.
struct Call<'a> {
    start: &'a Start,
    config: &'a Config,
    log: Log<'a>,
    shown: String,
    id: String,
}

/// Whose the credential is, and whom it maps to.
#[derive(Debug)]
pub struct Found {
    /// The account that calls.
    pub caller: Account,
    /// The path of the credential, without symbolic links.
    pub credential: PathBuf,
    /// The subject, if the credential is a proxy that was verified.
    pub subject: Option<String>,
    /// Whom it maps to.
    pub target: Target,
    /// For a lease that ends by itself: it does not end as long as a process has this open.
    pub lease: Option<File>,
}

/// The steps of a call up to the target: who calls, the credential, its verification, its account.
pub fn find(start: &Start, config: &Config) -> Result<Found> {
    let caller = caller::of(&start.caller, config)?;
    let credential = credential::find(&start.environment, &start.caller, config)?;
    let mode = Mode::from_variable(start.environment.get("GLEXEC_MODE"))?;
    let (mapped, subject) = map(&caller, &credential, mode, config)?;
    let target = target::of(mapped.target, &start.caller, config)?;
    Ok(Found { caller, credential: credential.path, subject, target, lease: mapped.lease })
}

/// The subject of a credential that is a proxy, where credentials are known by their subjects.
pub fn subject(
    caller: &Account,
    credential: &Credential,
    config: &Config,
) -> Result<Option<String>> {
    match config.mapping {
        Mapping::Proxy => {
            verify::verify(&credential.content, caller, config).map(|found| Some(found.subject))
        }
        Mapping::Caller => Ok(None),
    }
}

/// Where a credential is.
pub fn location(credential: &Credential) -> Result<Location> {
    Location::of(credential.path.clone()).map_err(|cause| {
        let path = Shown::os(&credential.path);
        Refusal::internal(format!("cannot find the file system of {path}: {cause}"))
    })
}

/// The account of a credential, and its subject, if it is a proxy.
fn map(
    caller: &Account,
    credential: &Credential,
    mode: Mode,
    config: &Config,
) -> Result<(Mapped, Option<String>)> {
    match subject(caller, credential, config)? {
        Some(subject) => {
            let mapped = mapping::map(config, &Identity::Subject(subject.as_bytes()), mode)?;
            Ok((mapped, Some(subject)))
        }
        None => {
            let location = location(credential)?;
            let identity = Identity::Caller { account: caller, credential: &location };
            Ok((mapping::map(config, &identity, mode)?, None))
        }
    }
}

impl Call<'_> {
    fn log(&self, level: Level, text: &str) {
        let Call { start, shown, id, .. } = self;
        let user = start.caller.user;
        self.log.write(level, format_args!("{text}; caller uid {user}, id \"{id}\": {shown}"));
    }

    fn steps(&self, command: Vec<OsString>, world: Spec, origin: &mut dyn Origin) -> Result<End> {
        let Call { start, config, .. } = self;
        let found = origin.find(start, config)?;
        let Found { target, lease, .. } = &found;
        let (user, name) = (target.identity.user, Shown(&target.account.name).to_string());
        self.log(Level::Notice, &format!("runs as {name} (uid {user})"));
        let kind = session::kind_of(&command);
        let epilogue = match kind {
            Kind::Session => epilogue::of(config)?,
            Kind::Operation(_) => None,
        };
        let is_session = kind == Kind::Session;
        let asked = world.clone();
        let mut payload = self.payload(command, kind, target, world, origin)?;
        origin.prepare(&found, &mut payload)?;
        if is_session {
            let limits = limits::of(start.environment.get(limits::VARIABLE), config)?;
            payload.plan = limits::plan(limits, payload.cgroup.as_ref(), config.linger)?;
        }
        if !config.linger {
            if is_session {
                scripts::require_none(config)?;
                self.root(&mut payload, target, None, &asked)?;
            }
            return Err(self.replace(&payload, lease.as_ref()));
        }
        let mut scripts = match is_session {
            true => Scripts::begin(&found, &mut payload, config, self.log)?,
            false => Scripts::none(self.log),
        };
        let mut ended = None;
        let rooted = match is_session {
            true => self.root(&mut payload, target, scripts.root(), &asked),
            false => Ok(()),
        };
        let result = rooted
            .and_then(|()| self.run(&found, &payload, epilogue, &mut scripts, &mut ended, origin));
        scripts.end(match (&result, ended) {
            (_, Some(end)) => Ok(end),
            (Err(refusal), None) => Err(refusal.status as u8),
            (Ok(end), None) => Ok(*end),
        });
        result
    }

    /// From the start of the payload to the end of the epilogue. `ended` becomes how the payload
    /// has ended, also if the epilogue fails afterwards.
    fn run(
        &self,
        found: &Found,
        payload: &Payload,
        epilogue: Option<Epilogue>,
        scripts: &mut Scripts<'_>,
        ended: &mut Option<End>,
        origin: &mut dyn Origin,
    ) -> Result<End> {
        let Found { caller, subject, target, lease, .. } = found;
        let (start, user) = (self.start, target.identity.user);
        let child = start::start(payload)?;
        linger::let_go(lease.as_ref(), scripts.session(), origin);
        origin.started(child, found);
        self.log.started(child, user);
        if let Some(subject) = subject {
            self.log.subject(child, subject);
        }
        let around = Around { caller, start, target, payload };
        let facts = epilogue.map(|epilogue| (epilogue, around.facts(child)));
        let end = self.wait(payload, child, scripts, origin);
        *ended = Some(end);
        origin.ended(end, found);
        match facts {
            Some((epilogue, facts)) => {
                epilogue::run(&epilogue, facts?, end, self.log).map(|()| end)
            }
            None => Ok(end),
        }
    }

    /// The command, with all that its process gets.
    fn payload(
        &self,
        command: Vec<OsString>,
        kind: Kind,
        target: &Target,
        world: Spec,
        origin: &mut dyn Origin,
    ) -> Result<Payload> {
        let Call { start, config, .. } = self;
        let world = match kind {
            Kind::Session => self.world(&command, world, target)?,
            // The helpers' own operations work on the machine.
            Kind::Operation(_) => None,
        };
        let proxy = self.target_proxy(target, origin)?;
        let (account, variables) = (&target.account, &start.environment);
        let environment = environment::of(variables, account, proxy.as_ref(), config);
        Ok(Payload {
            command,
            program: match kind {
                Kind::Session => None,
                Kind::Operation(agent) => Some(agent),
            },
            path: config.path.clone(),
            target: target.identity.clone(),
            caller: start.caller.clone(),
            environment,
            proxy,
            umask: start.umask,
            limits: start.limits.clone(),
            scheduling: None,
            cgroup: None,
            plan: Plan::default(),
            world,
        })
    }

    /// Gives the payload a root directory, if it gets one: after the session scripts, which can
    /// make or name it.
    fn root(
        &self,
        payload: &mut Payload,
        target: &Target,
        by_script: Option<&OsStr>,
        asked: &Spec,
    ) -> Result<()> {
        let Some(root) = root_directory::of(self.config, target, by_script)? else {
            return Ok(());
        };
        let world = match payload.world.take() {
            Some(world) => Some(world),
            None => self.world(&payload.command, asked.clone().or_closed(), target)?,
        };
        payload.world = world.map(|world| world.with_root(root)).transpose()?;
        Ok(())
    }

    /// The world of a payload. Its paths are the caller's, and are resolved with the caller's
    /// rights.
    fn world(&self, command: &[OsString], options: Spec, target: &Target) -> Result<Option<World>> {
        let Call { start, config, .. } = self;
        let variable = start.environment.get("GLEXEC_WORLD");
        let spec = world::asked(options, variable, config.world_is_closed)?;
        let caller = &start.caller;
        let world = switch::with_files_of(caller, || World::of(spec, command, caller.user))
            .map_err(|cause| {
                Refusal::internal(format!("cannot take the caller's rights: {cause}"))
            })?;
        Ok(world?.map(|world| world.with_name(&target.account.name)))
    }

    /// The copy of a proxy that the caller asks for.
    fn target_proxy(&self, target: &Target, origin: &mut dyn Origin) -> Result<Option<Proxy>> {
        let variables = &self.start.environment;
        let path = variables.get("GLEXEC_TARGET_PROXY");
        let source = match variables.get("GLEXEC_SOURCE_PROXY") {
            Some(source) if self.config.create_target_proxy => source,
            _ => return Ok(None),
        };
        match path.map(PathBuf::from) {
            Some(path) if path.as_os_str() == OsStr::new("/dev/null") => Ok(None),
            Some(path) if !path.is_absolute() => Err(Refusal::client(format!(
                "GLEXEC_TARGET_PROXY is not an absolute path: {}",
                Shown::os(&path)
            ))),
            path => {
                let content = origin.proxy(source, self.start, self.config)?;
                Ok(Some(Proxy::new(content, path, target.identity.user)))
            }
        }
    }

    /// Becomes the payload in this process (`linger = no`). Returns only why it could not.
    fn replace(&self, payload: &Payload, lease: Option<&File>) -> Refusal {
        if lease.is_some() {
            return Refusal::internal(
                "a lease by caller_map needs linger = yes: after the start of the payload no \
                 process would keep the lease",
            );
        }
        self.log(Level::Notice, &format!("executes as uid {}", payload.target.user));
        payload.execute(None)
    }

    /// Waits for the end of the payload and, unless the configuration says otherwise, ends what it
    /// has started.
    fn wait(
        &self,
        payload: &Payload,
        child: Pid,
        scripts: &mut Scripts<'_>,
        origin: &mut dyn Origin,
    ) -> End {
        let ends_family = self.config.end_family;
        let kill_family = || {
            if ends_family {
                family::kill(child);
            }
        };
        let watch = Watch::new(payload.plan.watched, child, payload.caller.user);
        let mut is_exceeded = false;
        let exceeded = |limit| {
            is_exceeded = true;
            self.log(Level::Warning, &format!("{limit}"));
        };
        let signalled = |number| scripts.signalled(number);
        let (end, mut times) =
            linger::wait_for(child, origin, watch, exceeded, kill_family, signalled);
        scripts.payload_ended();
        if let Some(memory) = payload.plan.out_of_memory(payload.cgroup.as_ref()) {
            let text = format!("the payload was killed: it exceeds its limit memory={memory}");
            self.log(Level::Warning, &text);
        }
        if ends_family || is_exceeded {
            origin.end_family();
            let (more, left) = family::end(payload.caller.user);
            times += more;
            if left > 0 {
                self.log(Level::Warning, &format!("{left} processes of {child} do not end"));
            }
        }
        if let Some(proxy) = payload.proxy.as_ref().filter(|proxy| proxy.is_temporary()) {
            start::as_user(&payload.target, &payload.caller, || proxy.remove());
        }
        self.log.terminated(child, times);
        end
    }
}
