//! Going on after the helper was killed: instances that still live are taken over, what is missing is started, and
//! what nobody knows is killed.

use std::time::{Duration, Instant};

use deployer_core::model::{SetId, WorkloadId};

use super::{
    instance::{Life, SavedInstance, now},
    instance_run::{Exit, Key, Origin, Run},
    log, process,
    process::{MarkedProcess, ProcessIdentity},
    state::Durability,
    supervisor::Supervisor,
};

impl Supervisor {
    /// Brings the state and the processes of this host together. `boot` is the present start of the host.
    pub(crate) fn restore(&mut self, boot: String) {
        let same_boot = self.state.boot == boot;
        self.state.boot = boot;
        let marked = process::marked(self.host());
        let known: Vec<(WorkloadId, SetId, SavedInstance)> = self
            .state
            .workloads
            .iter()
            .flat_map(|(workload, saved)| saved.sets.iter().map(move |(set, saved)| (workload, set, saved)))
            .flat_map(|(workload, set, saved)| {
                saved.instances.iter().map(|instance| (workload.clone(), set.clone(), instance.clone()))
            })
            .collect();
        for (workload, set, instance) in known {
            if matches!(instance.life, Life::Failed { .. }) {
                continue;
            }
            let key = (workload, instance.id.clone());
            let saved = instance.process.filter(|_| same_boot);
            let found = saved.into_iter().chain(main_process(&marked, &key)).find_map(|identity| {
                Some((identity, Run::new(identity, Origin::Adopted, began(&instance)).ok()?))
            });
            match found {
                Some((identity, run)) => self.adopt(&key, &set, identity, run),
                None => self.miss(&key, &set, &instance),
            }
        }
        for process in &marked {
            let key = (process.workload.clone(), process.instance.clone());
            if !self.runs.contains_key(&key) {
                log::line(&format!(
                    "process {} of {} belongs to nobody: killed",
                    process.identity.pid, key.1
                ));
                process.kill();
            }
        }
        self.save(Durability::Disk);
    }

    fn adopt(&mut self, key: &Key, set: &SetId, identity: ProcessIdentity, run: Run) {
        let (workload, id) = key;
        self.track(key.clone(), run);
        let Some(instance) = self.instance_mut(workload, set, id) else { return };
        instance.process = Some(identity);
        instance.note(format_args!("process {} taken over by a new helper", identity.pid));
        match instance.life {
            Life::Stopping { until, told: true } => {
                self.deadlines.insert(key.clone(), Instant::now() + until.since(now()));
            }
            Life::Stopping { told: false, .. } => self.tell_to_stop(workload, set, id),
            _ => instance.life = Life::Running,
        }
    }

    fn miss(&mut self, key: &Key, set: &SetId, instance: &SavedInstance) {
        let (workload, id) = key;
        match &instance.life {
            Life::Planned => self.start(workload, set, id),
            Life::Stopping { .. } => self.gone(workload, set, id),
            Life::Running => {
                let lived = now().since(instance.started_at);
                self.after_end(key, &Exit::unseen(), lived);
            }
            Life::Backoff { until } => {
                let wait = until.since(now()).min(Duration::from_secs(30));
                self.deadlines.insert(key.clone(), Instant::now() + wait);
            }
            Life::Failed { .. } => {}
        }
    }
}

/// The process that leads the group of an instance.
fn main_process(marked: &[MarkedProcess], key: &Key) -> Option<ProcessIdentity> {
    let is_it =
        |process: &&MarkedProcess| process.leads && process.workload == key.0 && process.instance == key.1;
    marked.iter().filter(is_it).min_by_key(|process| process.identity.start_time).map(|found| found.identity)
}

/// The moment of its start on the monotonic clock, as far as the wall clock can tell.
fn began(instance: &SavedInstance) -> Instant {
    let now_monotonic = Instant::now();
    now_monotonic.checked_sub(now().since(instance.started_at)).unwrap_or(now_monotonic)
}
