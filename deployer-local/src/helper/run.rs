//! The life of the helper process.

use std::{
    cell::RefCell,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        net::UnixListener,
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    rc::Rc,
    thread,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use rustix::fs::FlockOperation;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::LocalSet,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    data_plane::DataPlane,
    instance_run::Watched,
    log, process, server,
    state::{Durability, State},
    supervisor::Supervisor,
};
use crate::{directory::Directory, launch};

/// How often the size of output is looked at.
const OUTPUT_INTERVAL: Duration = Duration::from_millis(250);

/// How long after a child's end strays are looked for; the ends of instances are taken in meanwhile.
const STRAY_DELAY: Duration = Duration::from_millis(100);

/// What this process is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Starts the helper and ends, so that the helper is nobody's child but the system's.
    Starter,
    /// The helper.
    Helper,
}

/// Runs as the helper, or starts it. Returns the exit status of this process.
pub(crate) fn be_helper(role: Role, directory: &Path) -> i32 {
    let result = match role {
        Role::Starter => start(directory),
        // A thread of its own, as `main` may be inside of a runtime already.
        Role::Helper => {
            let directory = directory.to_owned();
            thread::Builder::new()
                .name("control".to_owned())
                .spawn(move || serve(&directory))
                .map_err(|error| error.to_string())
                .and_then(|thread| thread.join().unwrap_or_else(|_| Err("the helper panicked".to_owned())))
        }
    };
    match result {
        Ok(()) => 0,
        Err(message) => {
            log::line(&message);
            say(&format!("{} {message}", launch::FAILED));
            1
        }
    }
}

fn start(directory: &Path) -> Result<(), String> {
    rustix::process::setsid().map_err(|error| format!("a session of its own: {error}"))?;
    let _ = std::env::set_current_dir("/");
    let program = "/proc/self/exe";
    Command::new(program)
        .arg0(launch::NAME)
        .args(launch::arguments(Role::Helper, directory))
        .stdin(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| format!("{program} could not be started: {error}"))
}

fn serve(directory: &Path) -> Result<(), String> {
    let directory = Directory::create(directory).map_err(|refusal| refusal.message)?;
    let place = directory.path().display();
    // Held for life: who has this lock is the helper, and the kernel gives it back when that dies. Children do not
    // inherit it, but for the moment before they execute, in which nobody may start another helper either.
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.lock());
    let lock = lock.map_err(|error| format!("{place}/lock: {error}"))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            say(launch::BUSY);
            return Ok(());
        }
        Err(error) => return Err(format!("{place}/lock cannot be locked: {error}")),
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("child subreaper: {error}"))?;
    let data_plane = DataPlane::start().map_err(|error| format!("the threads of the proxies: {error}"))?;
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime of the control: {error}"))?;
    let result = LocalSet::new().block_on(&control, control_loop(directory, data_plane.handle()));
    drop(data_plane);
    drop(lock);
    result
}

async fn control_loop(directory: Directory, data_plane: tokio::runtime::Handle) -> Result<(), String> {
    let mut children = signal(SignalKind::child()).map_err(|error| format!("SIGCHLD: {error}"))?;
    let boot = process::boot().map_err(|error| format!("the start of this host: {error}"))?;
    let state = load(&directory, &boot)?;
    let (watched, mut new_runs) = mpsc::unbounded_channel::<Watched>();
    let mut supervisor = Supervisor::new(directory.clone(), state, watched, data_plane);
    supervisor.restore(boot);
    supervisor.restore_traffic();
    let rescheduled = supervisor.rescheduled.clone();
    let supervisor = Rc::new(RefCell::new(supervisor));

    let listener = listen(&directory)?;
    let mut server = Box::pin(server::serve(listener, supervisor.clone()));
    log::line(&format!("helper {} of {} is ready", std::process::id(), directory.path().display()));
    say(launch::READY);

    let mut runs = FuturesUnordered::new();
    let mut output = interval(OUTPUT_INTERVAL);
    output.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut strays_due = false;
    loop {
        let deadline = supervisor.borrow().next_deadline();
        tokio::select! {
            Some(run) = new_runs.recv() => runs.push(run.ended()),
            Some((key, identity)) = runs.next() => supervisor.borrow_mut().ended(&key, identity),
            () = async { sleep_until(deadline.expect("checked by the guard").into()).await }, if deadline.is_some() => {
                supervisor.borrow_mut().act_on_deadlines();
            }
            () = rescheduled.notified() => {}
            Some(()) = children.recv() => strays_due = true,
            () = sleep(STRAY_DELAY), if strays_due => {
                strays_due = false;
                supervisor.borrow().reap_strays();
            }
            _ = output.tick() => supervisor.borrow().cap_output(),
            () = &mut server => break,
        }
    }
    let _ = fs::remove_file(directory.socket());
    log::line(&format!("helper {} ends as told", std::process::id()));
    Ok(())
}

fn load(directory: &Directory, boot: &str) -> Result<State, String> {
    if let Some(state) = State::load(&directory.state())? {
        return Ok(state);
    }
    let host = fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| format!("a random name: {error}"))?;
    let state = State::new(host.trim().to_owned(), boot.to_owned());
    // Saved before anything is started: the name is the mark by which processes are found again.
    state
        .save(&directory.state(), Durability::Disk)
        .map_err(|error| format!("{} cannot be saved: {error}", directory.state().display()))?;
    Ok(state)
}

fn listen(directory: &Directory) -> Result<tokio::net::UnixListener, String> {
    let path = directory.socket();
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::UnixListener::from_std(listener).map_err(failed)
}

/// Tells whoever started the helper how it went. Nobody may listen any more.
fn say(text: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}
