//! One nginx.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{Epoch, Split, WorkloadId},
    ports::TrafficRouter,
};

use parking_lot::Mutex;

use super::{
    capabilities::ServerCapabilities,
    command, control,
    control::ControlAnswer,
    master::{Master, Worker},
    process,
    reload::Reloads,
};
use crate::{
    base,
    choice::{Choice, RouterKind},
    config::{self, WorkloadFile},
    durable,
    error::capped,
    live::{self, LiveRouter},
    paths::Paths,
    reload::ReloadRouter,
    settings::NginxSettings,
};

/// One nginx: found, asked, tested and reloaded. Clones are the same one, and share its reloads.
#[derive(Debug, Clone)]
pub struct Server {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: NginxSettings,
    pub(super) paths: Paths,
    capabilities: ServerCapabilities,
    choice: Choice,
    pub(super) reloads: Reloads,
    /// Workers of configurations before the present one.
    pub(super) outdated: Mutex<HashSet<Identity>>,
    /// When the master last read the file of a workload with this generation, as far as this process knows.
    pub(crate) signalled: Mutex<HashMap<WorkloadId, (u64, Instant)>>,
}

/// A process for ever: its number and the time of its start.
pub(crate) type Identity = (u32, u64);

impl Server {
    /// Looks at an nginx that is there: its version, and the modules that its configuration loads. It need not run,
    /// and nothing is written.
    ///
    /// # Errors
    /// `InvalidInput` for settings that make no sense, `NotFound` if there is no such executable.
    pub async fn find(settings: NginxSettings) -> Result<Self, BackendError> {
        let operation = "find nginx";
        settings.check().map_err(|problems| {
            BackendError::new(ErrorKind::InvalidInput, operation, "its settings make no sense")
                .with_source(problems)
        })?;
        let limit = settings.test_deadline;
        let build = command::run(operation, &settings.executable, &[OsStr::new("-V")], limit).await?;
        let arguments = arguments(&settings, "-T");
        let configuration = command::run(operation, &settings.executable, &arguments, limit).await?;
        let loaded = if configuration.success {
            Ok(configuration.standard.as_str())
        } else {
            Err(capped(&configuration.errors))
        };
        let capabilities = ServerCapabilities::read(&build.errors, loaded).ok_or_else(|| {
            let message = format!("{} is no nginx: {}", settings.executable.display(), capped(&build.errors));
            BackendError::new(ErrorKind::InvalidInput, operation, message)
        })?;
        let choice = Choice::of(&capabilities, settings.router)
            .map_err(|why| BackendError::new(ErrorKind::Unsupported, operation, why))?;
        let paths = settings.paths();
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                paths,
                capabilities,
                choice,
                reloads: Reloads::default(),
                outdated: Mutex::default(),
                signalled: Mutex::default(),
            }),
        })
    }

    /// What it can do.
    pub fn capabilities(&self) -> &ServerCapabilities {
        &self.inner.capabilities
    }

    /// Which router its workloads have, and why.
    pub fn choice(&self) -> &Choice {
        &self.inner.choice
    }

    /// Where it is and how it routes.
    pub fn settings(&self) -> &NginxSettings {
        &self.inner.settings
    }

    /// Where the router's files are.
    pub fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// The master that runs now.
    ///
    /// # Errors
    /// `Unavailable` if nginx does not run; the message names workers of a dead master that still serve. `Conflict` if
    /// the pid file holds the number of another process, `PermissionDenied` if this user may not look at it.
    pub async fn master(&self) -> Result<Master, BackendError> {
        let answering = self.answering_worker().await;
        let pid_file = &self.inner.settings.pid_file;
        let conflict = |message: String| {
            BackendError::new(
                ErrorKind::Conflict,
                "find the master of nginx",
                format!("{}: {message}", pid_file.display()),
            )
        };
        let mut error = match (Master::find(&self.inner.settings), answering) {
            (Ok(master), Some((pid, parent))) if parent != master.pid() => conflict(format!(
                "it names master {}, but worker {pid}, which answers on {}, is not its child: it is the pid file of \
                 another nginx",
                master.pid(),
                self.inner.paths.control_socket().display()
            )),
            // Where nobody proves whose child he is, the times have to fit.
            (Ok(master), None) if master.is_younger_than(pid_file) => conflict(format!(
                "master {} was started after the file was written: it is a left-over, and the number is that of another \
                 nginx by now",
                master.pid()
            )),
            (Ok(master), _) => return Ok(master),
            (Err(error), _) => error,
        };
        if let Some(orphans) =
            answering.and_then(|(pid, parent)| orphans(pid, parent, &self.inner.paths.control_socket()))
        {
            error.kind = ErrorKind::Conflict;
            let _ = write!(
                error.message,
                "; workers {orphans} of a master that is gone still serve the old configuration: end them \
                 (kill -QUIT) and start nginx"
            );
        }
        Err(error)
    }

    /// The router of a workload, of the kind that was [chosen](Self::choice).
    pub fn router(&self, workload: WorkloadId) -> Arc<dyn TrafficRouter> {
        match self.choice().kind {
            RouterKind::Reload => Arc::new(ReloadRouter::new(self.clone(), workload)),
            RouterKind::Live => Arc::new(LiveRouter::new(self.clone(), workload)),
        }
    }

    /// Makes sure that the location of a workload follows this kind of router.
    pub(crate) fn expect_kind(
        &self,
        operation: &str,
        workload: &WorkloadId,
        kind: RouterKind,
    ) -> Result<(), BackendError> {
        let path = self.inner.paths.location(workload);
        let text = fs::read_to_string(&path).map_err(|failed| {
            let error = crate::error::file(operation, &path, failed);
            let message = format!("{}; make it by adding the workload, and include it", error.message);
            BackendError { message, ..error }
        })?;
        let (shown, kind_of) = (path.display(), base::kind_of(&text));
        let is = match kind_of {
            Some(found) if found == kind => return Ok(()),
            Some(found) => format!("is for the {found}"),
            None => "was not written by this version, or was edited".to_owned(),
        };
        let message =
            format!("{shown} {is}; choose the {kind} for this nginx, add the workload again and reload");
        Err(BackendError::new(ErrorKind::Conflict, operation, message))
    }

    /// Makes the directory and the files that do not change with a switch. Returns whether something was written, which
    /// nginx then reads at its next reload.
    ///
    /// # Errors
    /// The directory cannot be written.
    ///
    /// # Idempotence
    /// Preparing twice is preparing once.
    pub fn prepare(&self) -> Result<bool, BackendError> {
        let operation = "prepare the directory of nginx";
        let paths = &self.inner.paths;
        for directory in paths.directories() {
            // Nobody else may talk to the control socket.
            let mode = if directory.starts_with(paths.run()) { 0o700 } else { 0o755 };
            durable::directory(operation, &directory, mode)?;
        }
        durable::close_to_others(operation, &paths.run())?;
        let mut changed = false;
        if self.choice().kind == RouterKind::Live {
            let state = paths.directory().join("state");
            for directory in [paths.directory(), &paths.lua(), &state] {
                durable::open_to_others(operation, directory)?;
            }
            for (name, code) in live::LUA {
                changed |= durable::ensure(operation, &paths.lua().join(name), code.as_bytes())?;
            }
        }
        let http = base::http(paths, self.settings(), self.choice().kind);
        Ok(durable::ensure(operation, &paths.http(), http.as_bytes())? || changed)
    }

    /// Makes the files of a workload, so that the configuration can include its location: until the first split it
    /// answers 503. Returns whether something was written, which nginx then reads at its next reload.
    ///
    /// # Errors
    /// The directory cannot be written.
    ///
    /// # Idempotence
    /// Adding twice is adding once; what was applied since stays.
    pub fn add(&self, workload: &WorkloadId) -> Result<bool, BackendError> {
        let mut changed = self.prepare()?;
        let operation = format!("add workload {workload} to nginx");
        let (paths, settings) = (&self.inner.paths, &self.inner.settings);
        let kind = self.choice().kind;
        let location = base::location(workload, paths, settings, self.capabilities(), kind);
        changed |= durable::ensure(&operation, &paths.location(workload), location.as_bytes())?;
        changed |= durable::ensure(&operation, &paths.marker(workload), base::marker(workload).as_bytes())?;
        let path = paths.workload(workload);
        if !path.exists() {
            let config = config::build(workload, 0, &Split::EMPTY, settings).map_err(|problems| {
                BackendError::new(ErrorKind::Unexpected, &operation, "the empty split").with_source(problems)
            })?;
            let content = config::render(&config).map_err(|unfaithful| {
                BackendError::new(ErrorKind::Unexpected, &operation, "the empty split")
                    .with_source(unfaithful)
            })?;
            let file = WorkloadFile { epoch: Epoch::default(), generation: 0, split: Split::EMPTY, content };
            durable::replace(&operation, &path, file.text().as_bytes())?;
            changed = true;
        }
        Ok(changed)
    }

    /// Removes the files of a workload. The configuration must not include its location any more. Returns whether
    /// there was something, which nginx forgets at its next reload.
    ///
    /// # Errors
    /// The directory cannot be written.
    ///
    /// # Idempotence
    /// Removing twice is removing once.
    pub fn remove(&self, workload: &WorkloadId) -> Result<bool, BackendError> {
        let operation = format!("remove workload {workload} from nginx");
        let paths = &self.inner.paths;
        let all = [
            paths.marker(workload),
            paths.location(workload),
            paths.workload(workload),
            paths.previous(workload),
            paths.refused(workload),
            paths.state(workload),
        ];
        let mut removed = false;
        for path in all {
            match fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => {}
                Err(failed) => return Err(crate::error::file(&operation, &path, failed)),
            }
        }
        Ok(removed)
    }

    /// One request to the control server of the running nginx, on a connection of its own.
    ///
    /// # Errors
    /// `Unavailable` if nobody listens, `TimedOut` if nobody answers.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<ControlAnswer, BackendError> {
        control::ask("ask nginx", &self.inner.paths.control_socket(), method, path, body, limit).await
    }

    /// Whether the configuration on the disk is one that nginx would take, as it is.
    ///
    /// # Errors
    /// `Unavailable` with nginx's own words if it would not.
    pub async fn test(&self) -> Result<(), BackendError> {
        let settings = &self.inner.settings;
        let arguments = arguments(settings, "-t");
        let operation = "test the configuration of nginx";
        let output =
            command::run(operation, &settings.executable, &arguments, settings.test_deadline).await?;
        if output.success {
            return Ok(());
        }
        Err(BackendError::new(
            ErrorKind::Unavailable,
            operation,
            format!("refused: {}", capped(&output.errors)),
        ))
    }

    /// The whole configuration as nginx would load it now (`nginx -T`), file by file.
    ///
    /// # Errors
    /// `Unavailable` with nginx's own words if it refuses the configuration.
    pub async fn configuration(&self) -> Result<String, BackendError> {
        let settings = &self.inner.settings;
        let arguments = arguments(settings, "-T");
        let operation = "read the configuration of nginx";
        let output =
            command::run(operation, &settings.executable, &arguments, settings.test_deadline).await?;
        if output.success {
            return Ok(output.standard);
        }
        let message = format!("refused: {}", capped(&output.errors));
        Err(BackendError::new(ErrorKind::Unavailable, operation, message))
    }

    /// Whether this worker is known to be of a configuration before the present one.
    pub(crate) fn is_outdated(&self, worker: &Worker) -> bool {
        self.inner.outdated.lock().contains(&(worker.pid, worker.start_time))
    }

    /// Remembers that the master has read the file with this generation.
    pub(crate) fn note_signal(&self, workload: &WorkloadId, generation: u64) {
        self.inner.signalled.lock().insert(workload.clone(), (generation, Instant::now()));
    }

    /// How long ago the master was made to read the file with this generation by this process.
    pub(crate) fn since_signal(&self, workload: &WorkloadId, generation: u64) -> Option<Duration> {
        let signalled = self.inner.signalled.lock();
        let (of, at) = signalled.get(workload)?;
        (*of == generation).then(|| at.elapsed())
    }

    /// The worker that answers on the control socket, and its parent.
    async fn answering_worker(&self) -> Option<(u32, u32)> {
        // One that is ending may answer, and be gone.
        for _ in 0..3 {
            let Ok(answer) = self.ask("GET", "/server", b"", Duration::from_secs(1)).await else { continue };
            let pid = answer.body.trim().parse().ok()?;
            if let Ok(stat) = process::Stat::read(pid) {
                return Some((pid, stat.parent));
            }
        }
        None
    }
}

/// The numbers of a worker and of those that listen on the same socket, if its parent is no master.
fn orphans(pid: u32, parent: u32, socket: &Path) -> Option<String> {
    if process::title(parent).is_ok_and(|title| title.starts_with("nginx: master process")) {
        return None;
    }
    let bound = process::bound_to(socket).unwrap_or_default();
    let listens = |candidate: &u32| {
        process::title(*candidate).is_ok_and(|title| title.starts_with("nginx: worker process"))
            && process::sockets(*candidate).is_ok_and(|own| own.iter().any(|inode| bound.contains(inode)))
    };
    let mut pids: Vec<u32> = process::all().ok()?.into_iter().filter(listens).collect();
    if !pids.contains(&pid) {
        pids.push(pid);
    }
    pids.sort_unstable();
    Some(pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The arguments that make nginx read the configuration of the running one.
pub(super) fn arguments<'a>(settings: &'a NginxSettings, what: &'a str) -> Vec<&'a OsStr> {
    let mut arguments =
        vec![OsStr::new(what), OsStr::new("-q"), OsStr::new("-c"), settings.main_config.as_os_str()];
    if let Some(prefix) = &settings.prefix {
        arguments.extend([OsStr::new("-p"), prefix.as_os_str()]);
    }
    arguments
}
