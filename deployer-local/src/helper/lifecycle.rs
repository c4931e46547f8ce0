//! The life of an instance: started, told to stop, killed, ended, started again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use deployer_core::model::{InstanceId, SetId, WorkloadId};
use rustix::process::Signal;

use super::{
    instance::{Life, now},
    instance_run::{Exit, Key, Origin, Run},
    log,
    output::Output,
    process::ProcessIdentity,
    spawn::Launch,
    supervisor::Supervisor,
};
use crate::spec::RestartPolicy;

/// A run of this length ends a row of restarts.
const STEADY: Duration = Duration::from_secs(60);

/// The longest wait before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Starts the process of an instance that the state already knows.
    pub(super) fn start(&mut self, workload: &WorkloadId, set: &SetId, id: &InstanceId) {
        let began = Instant::now();
        let result = self.spawn(workload, set, id).and_then(|identity| {
            Run::new(identity, Origin::Started, began).map(|run| (identity, run)).map_err(|error| {
                let group = rustix::process::Pid::from_raw(identity.pid);
                let _ = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
                format!("could not be watched: {error}; Linux 5.3 or newer is needed")
            })
        });
        let Some(instance) = self.instance_mut(workload, set, id) else { return };
        match result {
            Ok((identity, run)) => {
                instance.life = Life::Running;
                instance.process = Some(identity);
                instance.started_at = now();
                instance.note(format_args!("started as process {}", identity.pid));
                self.track((workload.clone(), id.clone()), run);
            }
            Err(reason) => {
                log::line(&format!("instance {id} of {workload} {reason}"));
                instance.note(&reason);
                instance.exit = Some(reason.clone());
                instance.process = None;
                instance.life = Life::Failed { reason };
            }
        }
    }

    /// Sends SIGTERM to an instance that the state already has as stopping.
    pub(super) fn tell_to_stop(&mut self, workload: &WorkloadId, set: &SetId, id: &InstanceId) {
        let key = (workload.clone(), id.clone());
        let Some(run) = self.runs.get(&key) else {
            self.gone(workload, set, id);
            return;
        };
        run.signal(self.host(), &key, Signal::TERM);
        let Some(instance) = self.instance_mut(workload, set, id) else { return };
        instance.note("told to stop by SIGTERM");
        if let Life::Stopping { until, told } = &mut instance.life {
            *told = true;
            let left = until.since(now());
            self.deadlines.insert(key, Instant::now() + left);
        }
    }

    /// Takes note that the process of an instance ended.
    pub(crate) fn ended(&mut self, key: &Key, identity: ProcessIdentity) {
        let is_present = self.runs.get(key).is_some_and(|run| run.identity == identity);
        let Some(run) = self.runs.remove(key).filter(|_| is_present) else { return };
        self.deadlines.remove(key);
        let lived = run.began.elapsed();
        let exit = run.finish(self.host(), key);
        self.after_end(key, &exit, lived);
    }

    /// Decides what comes after the end of a run.
    pub(super) fn after_end(&mut self, key: &Key, exit: &Exit, lived: Duration) {
        let (workload, id) = key;
        let Some((set, _)) = self.find(workload, id) else { return };
        let set = set.clone();
        let Some(policy) = self.state.workloads[workload].sets.get(&set).map(|set| set.spec.restart) else {
            return;
        };
        let Some(instance) = self.instance_mut(workload, &set, id) else { return };
        instance.note(&exit.text);
        instance.exit = Some(exit.text.clone());
        instance.process = None;
        if matches!(instance.life, Life::Stopping { .. }) {
            self.gone(workload, &set, id);
            self.changed(workload);
            return;
        }
        if lived >= STEADY {
            instance.restarts_in_row = 0;
        }
        match policy {
            RestartPolicy::OnFailure { max, backoff }
                if !exit.is_success && instance.restarts_in_row < max =>
            {
                let doubled = backoff.saturating_mul(1 << instance.restarts_in_row.min(20));
                let wait = doubled.min(LONGEST_BACKOFF.max(backoff));
                instance.restarts_in_row += 1;
                instance.life = Life::Backoff { until: now().after(wait) };
                self.deadlines.insert(key.clone(), Instant::now() + wait);
            }
            _ => {
                let reason = match instance.restarts_in_row {
                    0 => exit.text.clone(),
                    row => format!("{}, after {row} restarts in a row", exit.text),
                };
                instance.life = Life::Failed { reason };
            }
        }
        self.changed(workload);
    }

    /// When the next restart or kill is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// Does what is due.
    pub(crate) fn act_on_deadlines(&mut self) {
        let now = Instant::now();
        let due: Vec<Key> =
            self.deadlines.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.deadlines.remove(&key);
            let (workload, id) = &key;
            let Some((set, instance)) = self.find(workload, id) else { continue };
            let set = set.clone();
            match instance.life {
                Life::Backoff { .. } => {
                    if let Some(instance) = self.instance_mut(workload, &set, id) {
                        instance.restarts += 1;
                    }
                    self.start(workload, &set, id);
                }
                Life::Stopping { .. } => {
                    if let Some(run) = self.runs.get(&key) {
                        run.signal(self.host(), &key, Signal::KILL);
                    }
                    if let Some(instance) = self.instance_mut(workload, &set, id) {
                        instance.note("killed by SIGKILL, the grace is over");
                    }
                    log::line(&format!("instance {id} of {workload} was killed, its grace is over"));
                }
                Life::Planned | Life::Running | Life::Failed { .. } => continue,
            }
            self.changed(workload);
        }
    }

    /// Watches a run.
    pub(super) fn track(&mut self, key: Key, run: Run) {
        let _ = self.watched.send(run.watched(key.clone()));
        self.runs.insert(key, run);
    }

    /// Drops an instance that was told to stop and is gone.
    pub(super) fn gone(&mut self, workload: &WorkloadId, set: &SetId, id: &InstanceId) {
        if let Some(saved) = self.state.workloads.get_mut(workload).and_then(|saved| saved.sets.get_mut(set))
        {
            saved.instances.retain(|instance| instance.id != *id);
        }
        self.deadlines.remove(&(workload.clone(), id.clone()));
        Output::of(&self.directory.logs(), workload, id).remove();
        self.forget_if_removed(workload, set);
        self.ending.notify_waiters();
    }

    fn spawn(&self, workload: &WorkloadId, set: &SetId, id: &InstanceId) -> Result<ProcessIdentity, String> {
        let missing = || "is not known".to_owned();
        let saved =
            self.state.workloads.get(workload).and_then(|saved| saved.sets.get(set)).ok_or_else(missing)?;
        let instance = saved.instances.iter().find(|instance| instance.id == *id).ok_or_else(missing)?;
        let none = BTreeMap::new();
        let secrets = self.secrets.get(&(workload.clone(), set.clone())).unwrap_or(&none);
        if let Some(name) = saved.spec.secrets.keys().find(|name| !secrets.contains_key(*name)) {
            return Err(format!(
                "could not be started: the value of {name} is not known since the helper was restarted; apply the \
                 set again"
            ));
        }
        let launch = Launch {
            host: self.host(),
            workload,
            set,
            instance: id,
            made_by: &instance.made_by,
            port: instance.port,
            spec: &saved.spec,
            secrets,
            executable: self.directory.executable(&saved.content),
            output: Output::of(&self.directory.logs(), workload, id),
        };
        let pid = launch.spawn().map_err(|error| {
            format!(
                "could not be started: {} in {}: {error}",
                saved.spec.executable.display(),
                saved.spec.working_directory.display()
            )
        })?;
        ProcessIdentity::of(pid).map_err(|error| format!("could not be looked at: {error}"))
    }
}
