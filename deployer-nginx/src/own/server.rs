//! An nginx of one's own.

use std::{
    ffi::OsStr,
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::WorkloadId,
};
use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::{render, settings::OwnSettings};
use crate::{
    base,
    choice::RouterKind,
    durable,
    error::{self, capped},
    paths::Paths,
    server::{Master, Server},
    settings::NginxSettings,
};

/// How many ports are tried where any will do.
const PORT_TRIES: usize = 5;

const LOOK_AGAIN: Duration = Duration::from_millis(5);
const START: &str = "start an nginx of one's own";

/// An nginx of one's own in a folder, without root: for examples, for tests, and where no other one runs. It is killed
/// when this is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use deployer_core::model::WorkloadId;
/// use deployer_nginx::{OwnServer, OwnSettings};
/// let folder = std::env::temp_dir().join("own-nginx");
/// let web = WorkloadId::new("web")?;
/// let own = OwnServer::start(OwnSettings::new(folder), &[(web, "127.0.0.1:8080".parse()?)]).await?;
/// println!("{} answers 503 until the first split", own.server().capabilities().version);
/// own.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OwnServer {
    server: Server,
    settings: OwnSettings,
    child: Child,
}

impl OwnServer {
    /// Starts it with these workloads, each with a listener of its own, and returns when it answers.
    ///
    /// # Errors
    /// `AlreadyExists` if one runs in that folder, `NotFound` if nginx is not installed, `Unavailable` with nginx's own
    /// words if it does not start.
    pub async fn start(
        mut settings: OwnSettings,
        workloads: &[(WorkloadId, SocketAddr)],
    ) -> Result<Self, BackendError> {
        for below in ["", "temp", "sites", "http.d"] {
            durable::directory(START, &settings.directory.join(below), 0o755)?;
        }
        // Paths in messages are the same as those that nginx itself says.
        let folder = fs::canonicalize(&settings.directory)
            .map_err(|failed| error::file(START, &settings.directory, failed))?;
        settings.directory.clone_from(&folder);
        settings.nginx = NginxSettings {
            prefix: Some(folder.clone()),
            main_config: folder.join("nginx.conf"),
            pid_file: folder.join("nginx.pid"),
            directory: folder.join("deployer"),
            ..settings.nginx
        };
        refuse_second(&settings.nginx)?;
        let paths = settings.nginx.paths();
        let modules = if settings.lua { lua_modules(&settings.nginx).await? } else { Vec::new() };
        let main = render::main(&settings, &paths, &modules);
        durable::replace(START, &settings.nginx.main_config, main.as_bytes())?;
        // The files have to be there before nginx can be asked for its configuration.
        durable::directory(START, paths.directory(), 0o755)?;
        durable::directory(START, &paths.run(), 0o700)?;
        if !paths.http().exists() {
            let http = base::http(&paths, &settings.nginx, RouterKind::Reload);
            durable::replace(START, &paths.http(), http.as_bytes())?;
        }
        let server = Server::find(settings.nginx.clone()).await?;
        server.prepare()?;
        for (workload, listen) in workloads {
            server.add(workload)?;
            write_site(&settings.directory, &paths, workload, *listen)?;
        }
        // What a killed nginx left would keep the next one from listening.
        let _ = fs::remove_file(paths.control_socket());
        let child = spawn(&settings)?;
        let mut own = Self { server, settings, child };
        own.until_it_answers().await?;
        Ok(own)
    }

    /// The nginx, for routers.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The folder of everything.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Adds a workload with a listener of its own, reloads, and returns when it listens. Port 0 is replaced by a free
    /// one.
    ///
    /// # Errors
    /// nginx refused the reload, or the address.
    pub async fn add(&self, workload: &WorkloadId, listen: SocketAddr) -> Result<SocketAddr, BackendError> {
        self.server.add(workload)?;
        let mut tries = 0;
        loop {
            let chosen = free(listen)?;
            write_site(&self.settings.directory, self.server.paths(), workload, chosen)?;
            let Err(refused) = self.server.reload().await else { return Ok(chosen) };
            tries += 1;
            // Between the choice of a port and its use somebody else may have taken it.
            if listen.port() != 0 || tries == PORT_TRIES || !refused.message.contains("bind()") {
                // Left there it would keep nginx from every other reload.
                let _ = fs::remove_file(site(&self.settings.directory, workload));
                return Err(refused);
            }
        }
    }

    /// Removes a workload and its listener, and reloads.
    ///
    /// # Errors
    /// nginx refused the reload.
    pub async fn remove(&self, workload: &WorkloadId) -> Result<(), BackendError> {
        let site = site(&self.settings.directory, workload);
        match fs::remove_file(&site) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => {
                return Err(error::file("remove a workload", &site, failed));
            }
            _ => {}
        }
        self.server.remove(workload)?;
        if self.server.choice().kind == RouterKind::Live {
            let path = format!("/live/{workload}/split");
            self.server.ask("DELETE", &path, b"", self.settings.nginx.reload_deadline).await?;
        }
        self.server.reload().await
    }

    /// Ends it at once, and what it left too. Requests in flight are cut.
    ///
    /// # Errors
    /// It could not be ended.
    pub async fn stop(mut self) -> Result<(), BackendError> {
        let operation = "stop an nginx of one's own";
        if let Ok(master) = self.server.master().await {
            master.signal(Signal::TERM)?;
        }
        let ended = timeout(Duration::from_secs(10), self.child.wait()).await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failed)) => Err(error::file(operation, &self.settings.directory, failed)),
            Err(_) => Err(BackendError::new(ErrorKind::TimedOut, operation, "it did not end in 10 s")),
        }
    }

    async fn until_it_answers(&mut self) -> Result<(), BackendError> {
        let limit = self.settings.nginx.reload_deadline;
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self.settings.directory.join("stderr.log")).unwrap_or_default();
                let message = format!("it ended with {status}: {}", capped(&log));
                return Err(BackendError::new(ErrorKind::Unavailable, START, message));
            }
            let answer = self.server.ask("GET", "/server", b"", LOOK_AGAIN * 100).await;
            if answer.is_ok_and(|answer| answer.status == 200) && self.server.master().await.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = format!("it did not answer in {limit:?}");
                return Err(BackendError::new(ErrorKind::TimedOut, START, message));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Workers see that the master is gone only when they are told, so they are told first.
        if let Ok(Some(_)) | Err(_) = self.child.try_wait() {
            return;
        }
        if let Ok(master) = Master::find(&self.settings.nginx) {
            let _ = master.signal(Signal::TERM);
        } else {
            let _ = self.child.start_kill();
        }
    }
}

fn refuse_second(settings: &NginxSettings) -> Result<(), BackendError> {
    let Ok(master) = Master::find(settings) else { return Ok(()) };
    let message =
        format!("one runs there already, as process {}; stop it, or choose another folder", master.pid());
    Err(BackendError::new(ErrorKind::AlreadyExists, START, message))
}

/// Everything runs as the user that starts it: the folder is that user's.
fn spawn(settings: &OwnSettings) -> Result<Child, BackendError> {
    let path = settings.directory.join("stderr.log");
    let log = fs::File::create(&path).map_err(|failed| error::file(START, &path, failed))?;
    let nginx = &settings.nginx;
    let mut command = Command::new(&nginx.executable);
    command
        .args([
            OsStr::new("-p"),
            settings.directory.as_os_str(),
            OsStr::new("-c"),
            nginx.main_config.as_os_str(),
        ])
        .env_remove("NGINX")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command.spawn().map_err(|failed| error::file(START, &nginx.executable, failed))
}

fn site(folder: &Path, workload: &WorkloadId) -> PathBuf {
    folder.join("sites").join(format!("{workload}.conf"))
}

fn write_site(
    folder: &Path,
    paths: &Paths,
    workload: &WorkloadId,
    listen: SocketAddr,
) -> Result<(), BackendError> {
    let text = render::site(workload, listen, &paths.location(workload));
    durable::replace(START, &site(folder, workload), text.as_bytes())
}

/// nginx cannot choose a port itself.
fn free(listen: SocketAddr) -> Result<SocketAddr, BackendError> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    TcpListener::bind(listen).and_then(|listener| listener.local_addr()).map_err(|failed| {
        let message = format!("no port of {} is free", listen.ip());
        BackendError::new(ErrorKind::Unavailable, "choose a port", message).with_source(failed)
    })
}

/// The modules that Lua needs, where the build of nginx says that modules are; none if they are not there.
async fn lua_modules(settings: &NginxSettings) -> Result<Vec<PathBuf>, BackendError> {
    let output =
        crate::server::run(START, &settings.executable, &[OsStr::new("-V")], settings.test_deadline).await?;
    let folder = output.errors.split_ascii_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    let Some(folder) = folder.map(Path::new) else { return Ok(Vec::new()) };
    let lua = folder.join("ngx_http_lua_module.so");
    if !lua.exists() {
        return Ok(Vec::new());
    }
    let kit = Some(folder.join("ndk_http_module.so")).filter(|path| path.exists());
    Ok(kit.into_iter().chain([lua]).collect())
}
