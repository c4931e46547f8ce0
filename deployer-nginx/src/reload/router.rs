//! A traffic router that replaces one file and reloads nginx.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{InFlight, Member, Proof, RouterCapabilities, Split, TrafficView, WorkloadId},
    ports::{CallContext, Changes, Result, TrafficRouter},
};

use super::{
    acknowledge::{Acknowledged, acknowledge, marker},
    in_flight, install,
    install::Before,
    watch,
};
use crate::{
    choice::RouterKind,
    config::{self, WorkloadFile},
    durable,
    server::{FileLock, Server, Worker, WorkerState},
};

/// How long old workers may still answer after a reload that the master has acted on. It is some 100 ms; nobody is
/// helped by another reload meanwhile.
const OLD_MAY_ANSWER: Duration = Duration::from_secs(3);

/// When a reload that changed nothing is tried once more: a person may have mended the configuration.
const ANOTHER_TRY: Duration = Duration::from_secs(60);

/// What to do with a file that somebody else edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnForeignEdit {
    Refuse,
    Overwrite,
}

/// A traffic router that replaces one file and reloads nginx: works with any nginx. [`Server::add`] makes the files,
/// and the configuration has to include them.
///
/// - **Proof**: the new generation answers so often in a row on new connections, and no old worker accepts any more.
/// - **Requests in flight**: the connections from nginx to a member, unused ones included while it is in the split;
///   once it left, at least the number of old workers that have not ended.
/// - **A refusal** by nginx leaves the old file and the old configuration, and carries nginx's own words.
/// - **Kept connections**: old workers close those of clients that are unused, and a request that is just under way on
///   one is lost: a client may repeat a GET, not a POST. nginx 1.27.4 keeps them
///   ([`keepalive_min_timeout`](crate::NginxSettings::keepalive_min_timeout)); for older ones there is
///   [`closing_time`](crate::NginxSettings::closing_time). New connections lose nothing.
/// - **Connections that last**, as `WebSocket`s do, keep an old worker, which counts as a request of every member that
///   left; the drain time bounds it. `worker_shutdown_timeout` bounds the workers themselves.
/// - **Killed in between**: the file is what was accepted. [`current`](TrafficRouter::current) finishes what was begun.
#[derive(Debug, Clone)]
pub struct ReloadRouter {
    server: Server,
    workload: WorkloadId,
    name: Arc<str>,
}

impl ReloadRouter {
    /// The router of one workload.
    pub fn new(server: Server, workload: WorkloadId) -> Self {
        let name = format!("reloads of nginx for {workload}").into();
        Self { server, workload, name }
    }

    fn operation(&self, context: &CallContext, verb: &str) -> Result<String> {
        let operation = format!("{verb} {}", self.name);
        if context.workload == self.workload {
            return Ok(operation);
        }
        let message = format!("this router serves workload {}, not {}", self.workload, context.workload);
        Err(BackendError::new(ErrorKind::InvalidInput, operation, message))
    }

    /// As [`apply`](TrafficRouter::apply), but also over a file that somebody else edited or removed. For a person who has
    /// looked at it.
    ///
    /// # Errors
    /// As for `apply`.
    pub async fn overwrite(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.switch(context, split, OnForeignEdit::Overwrite).await
    }

    async fn switch(&self, context: &CallContext, split: &Split, on_edit: OnForeignEdit) -> Result<()> {
        let operation = self.operation(context, "switch")?;
        let (paths, settings) = (self.server.paths(), self.server.settings());
        let mut lock =
            FileLock::take(&operation, &paths.workload_lock(&self.workload), context.deadline).await?;
        let mut before = match (self.read(&operation), on_edit) {
            (Ok(file), _) => Before::ours(file),
            (Err(error), OnForeignEdit::Refuse) => return Err(error),
            (Err(_), OnForeignEdit::Overwrite) => Before::foreign(paths, &self.workload),
        };
        if context.epoch < before.file.epoch {
            let message = format!("epoch {} is over: {} has been seen", context.epoch, before.file.epoch);
            return Err(BackendError::new(ErrorKind::Conflict, operation, message));
        }
        let rendered = |generation| {
            let wrong = |source: Box<dyn std::error::Error + Send + Sync>| {
                BackendError::new(ErrorKind::InvalidInput, &operation, "nginx cannot express this split")
                    .with_source(source)
            };
            let config = config::build(&self.workload, generation, split, settings);
            config::render(&config.map_err(|problems| wrong(problems.into()))?)
                .map_err(|unfaithful| wrong(unfaithful.into()))
        };
        let same = before.is_ours()
            && before.file.split == *split
            && before.file.content == rendered(before.file.generation)?;
        // A value that cannot be expressed is refused whether nginx runs or not.
        rendered(0)?;
        if before.is_ours() && before.file.epoch < context.epoch {
            // Also if nginx refuses what comes: the owner before may not come back.
            before.file.epoch = context.epoch;
            let (text, file) = (operation.clone(), before.file.clone());
            let raise = move |server: &Server, workload: &WorkloadId| {
                durable::replace(&text, &server.paths().workload(workload), file.text().as_bytes())
            };
            lock = self.on_disk(&operation, lock, raise).await?;
        }
        if same {
            return Ok(());
        }
        // Before anything is written: a switch that cannot take effect is none.
        self.server.master().await?;
        let running = marker(&self.server, &self.workload, settings.reload_deadline).await;
        let running = running.map(|(generation, _)| generation);
        let generation = install::next_generation(paths, &self.workload, before.file.generation, running);
        let after = WorkloadFile {
            epoch: context.epoch,
            generation,
            split: split.clone(),
            content: rendered(generation)?,
        };
        self.server.test_candidate(&self.workload, &after.text()).await?;
        let (text, old, new) = (operation.clone(), before.clone(), after.clone());
        lock = self
            .on_disk(&operation, lock, move |server, workload| {
                install::install(&text, server.paths(), workload, &old, &new)
            })
            .await?;
        self.take_effect(&operation, lock, Some(before), after).await
    }

    fn read(&self, operation: &str) -> Result<WorkloadFile> {
        self.server.expect_kind(operation, &self.workload, RouterKind::Reload)?;
        install::read(operation, self.server.paths(), &self.workload)
    }

    /// Does something with the disk where nobody waits for it, and holds the lock until it is done, also if the caller
    /// is gone.
    async fn on_disk(
        &self,
        operation: &str,
        lock: FileLock,
        work: impl FnOnce(&Server, &WorkloadId) -> Result<()> + Send + 'static,
    ) -> Result<FileLock> {
        let (server, workload) = (self.server.clone(), self.workload.clone());
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&server, &workload);
            (lock, result)
        });
        let (lock, result) = done.await.map_err(|failed| {
            BackendError::new(ErrorKind::Unexpected, operation, "the work on the disk was cut off")
                .with_source(failed)
        })?;
        result.map(|()| lock)
    }

    /// Makes the master read the file that is there; puts the one before back if it refuses.
    async fn take_effect(
        &self,
        operation: &str,
        lock: FileLock,
        before: Option<Before>,
        after: WorkloadFile,
    ) -> Result<()> {
        let generation = after.generation;
        let Err(refusal) = self.server.reload().await else {
            self.server.note_signal(&self.workload, generation);
            return Ok(());
        };
        let wrap = |message: String| BackendError::new(refusal.kind, operation, message);
        let Some(before) = before else { return Err(wrap(refusal.report())) };
        // A master that is only slow reads the old file, or the new one: then whoever asks next has it read the old one.
        let old = before.file.generation;
        let text = operation.to_owned();
        let restored = self.on_disk(operation, lock, move |server, workload| {
            install::restore(&text, server.paths(), workload, &before, &after)
        });
        if let Err(failed) = restored.await {
            return Err(wrap(format!(
                "{}; and the file before could not be put back: {}",
                refusal.report(),
                failed.report()
            )));
        }
        let verdict = match marker(&self.server, &self.workload, self.server.settings().reload_deadline).await
        {
            Some((running, _)) if running == old => "the file before is back, and still answers".to_owned(),
            Some((running, _)) => format!("the file before is back, but generation {running} answers"),
            None => "the file before is back; nobody answers on the control socket".to_owned(),
        };
        Err(wrap(format!("{}; {verdict}", refusal.report())))
    }

    /// Whether the master has started workers since the file was written, and not long ago.
    async fn is_being_read(&self) -> bool {
        let written =
            fs::metadata(self.server.paths().workload(&self.workload)).and_then(|file| file.modified());
        let file_age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let (Some(file_age), Ok(master)) = (file_age, self.server.master().await) else { return false };
        let youngest = master.workers().ok().and_then(|workers| workers.iter().map(Worker::age).min());
        // Workers that die and are replaced all the time say nothing.
        file_age < OLD_MAY_ANSWER * 2 && youngest.is_some_and(|age| age < file_age && age < OLD_MAY_ANSWER)
    }

    /// The master has reloaded, and new connections still get something else.
    fn unheard(&self, operation: &str, generation: u64, running: Option<u64>) -> BackendError {
        let settings = self.server.settings();
        let what = running
            .map_or_else(|| "nobody answers".to_owned(), |running| format!("generation {running} answers"));
        let message = format!(
            "nginx has read its configuration, and {what} on {} instead of generation {generation}; is {} what it reads, \
             and does that include {}?",
            self.server.paths().control_socket().display(),
            settings.main_config.display(),
            self.server.paths().http().display()
        );
        BackendError::new(ErrorKind::Unavailable, operation, message)
    }

    /// Finishes what somebody has begun: the file is there, and nginx answers another one.
    async fn finish(&self, operation: &str, seen: &WorkloadFile, running: Option<u64>) -> Result<()> {
        match self.server.since_signal(&self.workload, seen.generation) {
            Some(ago) if ago < OLD_MAY_ANSWER => return Ok(()),
            // Another reload would be read from the same place.
            Some(ago) if ago < ANOTHER_TRY => return Err(self.unheard(operation, seen.generation, running)),
            _ => {}
        }
        // Somebody else has told nginx just now.
        if self.is_being_read().await {
            return Ok(());
        }
        let lock = FileLock::try_take(operation, &self.server.paths().workload_lock(&self.workload))?;
        // Who has the lock is about to reload.
        let Some(lock) = lock else { return Ok(()) };
        let file = self.read(operation)?;
        if file.generation != seen.generation {
            return Ok(());
        }
        tracing::info!(workload = %self.workload, generation = file.generation, ?running, "finishing a switch of nginx");
        let before = install::previous(self.server.paths(), &self.workload)
            .filter(|before| running == Some(before.generation))
            .map(Before::ours);
        self.take_effect(operation, lock, before, file).await
    }
}

#[async_trait]
impl TrafficRouter for ReloadRouter {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> RouterCapabilities {
        RouterCapabilities {
            weights: true,
            header_routes: true,
            cookie_routes: true,
            maintenance: true,
            members: true,
            proves: true,
            counts_in_flight: true,
            fences: true,
        }
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        self.switch(context, split, OnForeignEdit::Refuse).await
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let operation = self.operation(context, "ask")?;
        let file = self.read(&operation)?;
        let acknowledged =
            acknowledge(&self.server, &self.workload, file.generation, context.deadline).await?;
        let proof = match acknowledged {
            Acknowledged::Yes => {
                self.server.end_closing();
                Proof::Proven { generation: file.generation }
            }
            Acknowledged::Almost => Proof::Pending,
            Acknowledged::Other(running) => {
                self.finish(&operation, &file, running).await?;
                Proof::Pending
            }
        };
        Ok(TrafficView { split: file.split, proof })
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let operation = self.operation(context, "count requests of")?;
        let file = self.read(&operation)?;
        let master = self.server.master().await?;
        let workers = master.workers()?;
        let is_old =
            |worker: &Worker| worker.state == WorkerState::ShuttingDown || self.server.is_outdated(worker);
        let old: Vec<_> = workers.iter().copied().filter(is_old).collect();
        Ok(in_flight::count(&master, &old, &workers, &file.split, members))
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        self.operation(context, "watch")?;
        Ok(watch::changes(self.server.clone(), self.workload.clone()).await)
    }
}
