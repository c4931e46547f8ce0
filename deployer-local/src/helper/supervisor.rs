//! Who owns the instances: takes orders, and keeps the state, the processes and their deadlines together.
//!
//! Everything here is synchronous and runs on one thread; an order is one step, from the check to the effect.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    time::Instant,
};

use deployer_core::{
    error::ErrorKind,
    model::{Evidence, InstanceId, Place, PlaceStatus, PlaceView, SetId, SetView, WorkloadId, WorkloadView},
    ports::Secret,
};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    fence,
    instance::{Life, MadeBy, SavedInstance, now},
    instance_run::{Key, Run, Watched},
    log,
    output::Output,
    plan::Change,
    ports::{self, Ports},
    process,
    state::{Durability, SavedSet, SavedWorkload, State},
    traffic::Traffic,
};
use crate::{
    directory::Directory,
    identity::digest,
    pin,
    protocol::{ApplySet, PortUse, Refusal},
    spec::PortChoice,
};

/// More processes of one set are taken for a mistake.
const MOST_REPLICAS: u32 = 1000;

/// Bytes kept of the helper's own log, twice.
const HELPER_LOG_LIMIT: u64 = 1024 * 1024;

/// Who owns the instances.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(super) directory: Directory,
    pub(super) state: State,
    pub(super) runs: HashMap<Key, Run>,
    /// When the next thing is due: a restart, or a kill.
    pub(super) deadlines: HashMap<Key, Instant>,
    /// Values by set and variable. In memory only.
    pub(super) secrets: HashMap<(WorkloadId, SetId), BTreeMap<String, Secret>>,
    pub(super) ending: Rc<Notify>,
    /// Wakes whoever waits for the next deadline.
    pub(super) rescheduled: Rc<Notify>,
    pub(super) watched: mpsc::UnboundedSender<Watched>,
    place: Place,
    ports: Ports,
    changes: HashMap<WorkloadId, watch::Sender<u64>>,
    pub(super) traffic: Traffic,
    closing: bool,
}

impl Supervisor {
    pub(crate) fn new(
        directory: Directory,
        state: State,
        watched: mpsc::UnboundedSender<Watched>,
        data_plane: tokio::runtime::Handle,
    ) -> Self {
        Self {
            directory,
            state,
            runs: HashMap::new(),
            deadlines: HashMap::new(),
            secrets: HashMap::new(),
            ending: Rc::default(),
            rescheduled: Rc::default(),
            watched,
            place: Place::new("local").expect("it follows the grammar of names"),
            ports: Ports::new(std::process::id()),
            changes: HashMap::new(),
            traffic: Traffic { data_plane, proxies: HashMap::new() },
            closing: false,
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.state.host
    }

    /// Everything of a workload, in the order of names and of birth.
    pub(crate) fn observe(&self, workload: &WorkloadId) -> WorkloadView {
        let sets = self.state.workloads.get(workload).map(|workload| &workload.sets);
        let sets = sets.into_iter().flatten().map(|(id, set)| SetView {
            set: id.clone(),
            instances: set.instances.iter().map(|instance| instance.view(set, &self.place)).collect(),
        });
        let place = PlaceView { place: self.place.clone(), status: PlaceStatus::Known };
        WorkloadView { places: vec![place], sets: sets.collect() }
    }

    /// Gives a set a size.
    pub(crate) fn apply(
        &mut self,
        workload: &WorkloadId,
        set: &SetId,
        order: ApplySet,
    ) -> Result<(), Refusal> {
        self.refuse_while_closing()?;
        let mut next = self.workload(workload);
        fence::admit(workload, &mut next, order.epoch)?;
        self.check(set, next.sets.get(set), &order)?;
        let change = Change::to_size(next.sets.get(set), order.replicas, &order.remove_first);
        let mut saved = match next.sets.remove(set) {
            Some(saved) => saved,
            None => SavedSet {
                digest: order.digest.as_str().into(),
                content: order.content.clone(),
                spec: order.spec.clone(),
                removing: false,
                instances: Vec::new(),
            },
        };
        saved.removing = false;
        saved.spec = order.spec;
        saved.instances.retain(|instance| !change.forget.contains(&instance.id));
        let mut started = Vec::new();
        let made_by = MadeBy { deployment: order.deployment, epoch: order.epoch };
        for _ in 0..change.start {
            next.last_instance += 1;
            let id = InstanceId::new(format!("{set}-{}", next.last_instance))
                .map_err(|error| Refusal::new(ErrorKind::InvalidInput, error.to_string()))?;
            let taken: BTreeSet<u16> = saved.instances.iter().filter_map(|instance| instance.port).collect();
            let port = self.choose_port(saved.spec.port, &taken)?;
            saved.instances.push(SavedInstance::planned(id.clone(), made_by.clone(), port));
            started.push(id);
        }
        mark_stopping(&mut saved, &change.stop);
        next.sets.insert(set.clone(), saved);

        let secrets = order.secrets.into_iter().map(|(name, value)| (name, Secret::new(value)));
        self.commit(workload, next, change.durability())?;
        self.secrets.insert((workload.clone(), set.clone()), secrets.collect());
        for id in &change.forget {
            Output::of(&self.directory.logs(), workload, id).remove();
        }
        for id in started {
            self.start(workload, set, &id);
        }
        for id in &change.stop {
            self.tell_to_stop(workload, set, id);
        }
        if !change.is_nothing() {
            self.changed(workload);
        }
        Ok(())
    }

    /// Stops all instances of a set and forgets it once they are gone.
    pub(crate) fn remove(
        &mut self,
        workload: &WorkloadId,
        set: &SetId,
        epoch: deployer_core::model::Epoch,
    ) -> Result<(), Refusal> {
        let mut next = self.workload(workload);
        fence::admit(workload, &mut next, epoch)?;
        let mut change = Change::default();
        if let Some(saved) = next.sets.get_mut(set) {
            change = Change::to_size(Some(&*saved), 0, &[]);
            saved.removing = true;
            saved.instances.retain(|instance| !change.forget.contains(&instance.id));
            mark_stopping(saved, &change.stop);
        }
        let is_change = next.sets.get(set).is_some_and(|saved| {
            self.state
                .workloads
                .get(workload)
                .and_then(|workload| workload.sets.get(set))
                .is_none_or(|old| !old.removing || saved.instances.is_empty())
        });
        self.commit(workload, next, change.durability())?;
        for id in &change.forget {
            Output::of(&self.directory.logs(), workload, id).remove();
        }
        for id in &change.stop {
            self.tell_to_stop(workload, set, id);
        }
        if is_change {
            self.forget_if_removed(workload, set);
            self.changed(workload);
        }
        Ok(())
    }

    /// What is known of an instance.
    pub(crate) fn evidence(&self, workload: &WorkloadId, id: &InstanceId) -> Result<Evidence, Refusal> {
        let (set, instance) = self
            .find(workload, id)
            .ok_or_else(|| Refusal::new(ErrorKind::NotFound, "nothing is known of it any more"))?;
        let mut log = Output::of(&self.directory.logs(), workload, id).tail();
        if let Some(secrets) = self.secrets.get(&(workload.clone(), set.clone())) {
            for secret in secrets.values().map(Secret::expose).filter(|secret| secret.len() >= 4) {
                log = log.replace(secret, "***");
            }
        }
        Ok(Evidence { log, exit: instance.exit.clone(), events: instance.notes().to_vec() })
    }

    /// Hints of changes of a workload.
    pub(crate) fn watch(&mut self, workload: &WorkloadId) -> watch::Receiver<u64> {
        self.changes.entry(workload.clone()).or_default().subscribe()
    }

    /// Who uses a port.
    pub(crate) fn port_use(&self, port: u16) -> PortUse {
        let holder =
            self.instances().find(|(_, _, instance)| instance.holds_port() && instance.port == Some(port));
        match holder {
            Some((workload, _, instance)) => {
                PortUse::Instance { workload: workload.to_string(), instance: instance.id.clone() }
            }
            None if ports::is_free(port) => PortUse::Free,
            None => PortUse::Taken,
        }
    }

    /// Takes no further order.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// How many instances have not ended.
    pub(crate) fn instances_left(&self) -> usize {
        self.instances().count()
    }

    /// Stops everything and gives up all listeners. That is done even where it cannot be saved.
    pub(crate) fn stop_all(&mut self) {
        let mut orders: Vec<(WorkloadId, SetId, Vec<InstanceId>)> = Vec::new();
        for (workload, saved) in &mut self.state.workloads {
            saved.traffic = None;
            for (id, set) in &mut saved.sets {
                let change = Change::to_size(Some(&*set), 0, &[]);
                set.removing = true;
                set.instances.retain(|instance| !change.forget.contains(&instance.id));
                mark_stopping(set, &change.stop);
                for ended in &change.forget {
                    Output::of(&self.directory.logs(), workload, ended).remove();
                }
                orders.push((workload.clone(), id.clone(), change.stop));
            }
        }
        self.save(Durability::Disk);
        for (workload, set, stop) in orders {
            for id in &stop {
                self.tell_to_stop(&workload, &set, id);
            }
            self.forget_if_removed(&workload, &set);
            self.changed(&workload);
        }
    }

    /// Makes the end durable. Where that fails orders are taken again: a helper that ended now would leave a state
    /// from which the next one starts everything again.
    pub(crate) fn save_end(&mut self) -> Result<(), Refusal> {
        self.state.save(&self.directory.state(), Durability::Disk).map_err(|error| {
            self.closing = false;
            let path = self.directory.state();
            Refusal::new(ErrorKind::Unavailable, format!("{} cannot be saved: {error}", path.display()))
        })
    }

    /// Keeps the output of all instances, and the helper's own log, within their limits.
    pub(crate) fn cap_output(&self) {
        let logs = self.directory.logs();
        // Where the helper's own log cannot be cut there is nowhere to say so.
        let _ = Output::of_helper(&self.directory.log()).cap(HELPER_LOG_LIMIT);
        for (workload, set, instance) in self.instances() {
            if let Err(error) = Output::of(&logs, workload, &instance.id).cap(set.spec.log_limit) {
                log::line(&format!("output of {}: {error}", instance.id));
            }
        }
    }

    /// Reaps what instances left behind.
    pub(crate) fn reap_strays(&self) {
        process::reap_strays(|pid| self.runs.values().any(|run| run.identity.pid == pid));
    }

    pub(super) fn refuse_while_closing(&self) -> Result<(), Refusal> {
        if self.closing {
            return Err(Refusal::new(
                ErrorKind::Unavailable,
                "the helper is shutting down; try again in a moment",
            ));
        }
        Ok(())
    }

    /// A copy to change; it counts when it is committed.
    pub(super) fn workload(&self, id: &WorkloadId) -> SavedWorkload {
        self.state.workloads.get(id).cloned().unwrap_or_default()
    }

    /// Makes a changed workload the state, and saves it. If that fails nothing changed. A larger epoch always goes
    /// to the disk.
    pub(super) fn commit(
        &mut self,
        id: &WorkloadId,
        next: SavedWorkload,
        durability: Durability,
    ) -> Result<(), Refusal> {
        let epoch = next.epoch;
        let before = self.state.workloads.insert(id.clone(), next);
        let is_new_epoch = before.as_ref().is_none_or(|before| before.epoch != epoch);
        let durability = if is_new_epoch { Durability::Disk } else { durability };
        let path = self.directory.state();
        self.state.save(&path, durability).map_err(|error| {
            match before {
                Some(before) => self.state.workloads.insert(id.clone(), before),
                None => self.state.workloads.remove(id),
            };
            Refusal::new(ErrorKind::Unavailable, format!("{} cannot be saved: {error}", path.display()))
        })
    }

    /// Saves what can be found out again if it is lost.
    pub(super) fn save(&self, durability: Durability) {
        if let Err(error) = self.state.save(&self.directory.state(), durability) {
            log::line(&format!("{} cannot be saved: {error}", self.directory.state().display()));
        }
    }

    /// Tells whoever watches, and saves.
    pub(super) fn changed(&mut self, workload: &WorkloadId) {
        self.save(Durability::Rename);
        self.changes.entry(workload.clone()).or_default().send_modify(|number| *number += 1);
        self.rescheduled.notify_one();
    }

    pub(super) fn find(&self, workload: &WorkloadId, id: &InstanceId) -> Option<(&SetId, &SavedInstance)> {
        self.state.workloads.get(workload)?.sets.iter().find_map(|(set, saved)| {
            saved.instances.iter().find(|instance| instance.id == *id).map(|instance| (set, instance))
        })
    }

    pub(super) fn instance_mut(
        &mut self,
        workload: &WorkloadId,
        set: &SetId,
        id: &InstanceId,
    ) -> Option<&mut SavedInstance> {
        let set = self.state.workloads.get_mut(workload)?.sets.get_mut(set)?;
        set.instances.iter_mut().find(|instance| instance.id == *id)
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = (&WorkloadId, &SavedSet, &SavedInstance)> {
        self.state.workloads.iter().flat_map(|(workload, saved)| {
            saved
                .sets
                .values()
                .flat_map(move |set| set.instances.iter().map(move |instance| (workload, set, instance)))
        })
    }

    /// Drops a set that is being removed and has no instance any more, and old copies of executables with it.
    pub(super) fn forget_if_removed(&mut self, workload: &WorkloadId, set: &SetId) {
        let Some(saved) = self.state.workloads.get_mut(workload) else { return };
        if saved.sets.get(set).is_some_and(|set| set.removing && set.instances.is_empty()) {
            saved.sets.remove(set);
            self.secrets.remove(&(workload.clone(), set.clone()));
            let used = self.state.workloads.values().flat_map(|workload| workload.sets.values());
            let used: BTreeSet<_> = used.map(|set| set.content.clone()).collect();
            pin::prune(&self.directory, &used);
        }
    }

    fn check(&self, id: &SetId, existing: Option<&SavedSet>, order: &ApplySet) -> Result<(), Refusal> {
        let refuse = |kind, message: String| Err(Refusal::new(kind, message));
        if *digest(&order.spec, &order.content) != *order.digest {
            let message = "the artifact was resolved from another config; prepare the release again";
            return refuse(ErrorKind::InvalidInput, message.to_owned());
        }
        if order.replicas > MOST_REPLICAS {
            let message = format!("{} instances on one host; at most {MOST_REPLICAS}", order.replicas);
            return refuse(ErrorKind::InvalidInput, message);
        }
        if let PortChoice::Fixed(port) = order.spec.port
            && order.replicas > 1
        {
            let message = format!(
                "{} instances cannot share the fixed port {port}; use an assigned port, or one instance",
                order.replicas
            );
            return refuse(ErrorKind::InvalidInput, message);
        }
        if let Some(existing) = existing
            && *existing.digest != *order.digest
        {
            let (kind, what) = if existing.removing {
                (ErrorKind::Unavailable, "is still being removed with")
            } else {
                (ErrorKind::AlreadyExists, "exists with")
            };
            return refuse(kind, format!("set {id} {what} the artifact {}", existing.digest));
        }
        let executable = self.directory.executable(&order.content);
        if order.replicas > 0 && !executable.is_file() {
            let message = format!("the copy {} is gone; prepare the release again", executable.display());
            return refuse(ErrorKind::NotFound, message);
        }
        Ok(())
    }

    fn choose_port(&mut self, choice: PortChoice, taken: &BTreeSet<u16>) -> Result<Option<u16>, Refusal> {
        match choice {
            PortChoice::None => Ok(None),
            PortChoice::Fixed(port) => match self.port_use(port) {
                PortUse::Free => Ok(Some(port)),
                PortUse::Instance { workload, instance } => {
                    let message = format!("port {port} is held by instance {instance} of {workload}");
                    Err(Refusal::new(ErrorKind::Unavailable, message))
                }
                PortUse::Taken => {
                    let message =
                        format!("port {port} is taken by another program; stop it or use another port");
                    Err(Refusal::new(ErrorKind::Unavailable, message))
                }
            },
            PortChoice::Assigned => {
                let mut used = taken.clone();
                let held = self.instances().filter(|(_, _, instance)| instance.holds_port());
                used.extend(held.filter_map(|(_, _, instance)| instance.port));
                match self.ports.choose(&used) {
                    Some(port) => Ok(Some(port)),
                    None => Err(Refusal::new(ErrorKind::Unavailable, "no port from 20000 to 32767 is free")),
                }
            }
        }
    }
}

fn mark_stopping(set: &mut SavedSet, stop: &[InstanceId]) {
    let until = now().after(set.spec.stop_grace);
    for instance in set.instances.iter_mut().filter(|instance| stop.contains(&instance.id)) {
        instance.life = Life::Stopping { until, told: false };
    }
}
