//! Where the instances of the world run.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{
        Artifact, DeploymentId, Epoch, Evidence, Instance, InstanceId, PinnedRelease, Place, PlaceStatus,
        PlaceView, Release, SetId, SetSpec, SetView, TargetCapabilities, WorkloadId, WorkloadView,
    },
    ports::{CallContext, Changes, Result, Target},
};

use super::{
    CallKind, World,
    instance::FakeInstance,
    state::{FakeSet, SetKey, State, fence},
};

/// Where the instances of a [`World`] run.
#[derive(Debug)]
pub struct FakeTarget {
    world: World,
    capabilities: TargetCapabilities,
}

impl FakeTarget {
    pub(super) fn new(world: World) -> Self {
        let capabilities = world.state.lock().settings.target.clone();
        Self { world, capabilities }
    }
}

#[async_trait]
impl Target for FakeTarget {
    fn name(&self) -> &'static str {
        "fake target"
    }

    fn capabilities(&self) -> TargetCapabilities {
        self.capabilities.clone()
    }

    async fn observe(&self, context: &CallContext) -> Result<WorkloadView> {
        let what = format!("observe workload {}", context.workload);
        let look = |state: &mut State| view(state, &context.workload);
        self.world.call(CallKind::Observe, context, what, look).await
    }

    async fn prepare(&self, context: &CallContext, release: &Release) -> Result<Artifact> {
        let what = format!("prepare release {}", release.id);
        let act = |state: &mut State| prepare(state, release);
        self.world.call(CallKind::Prepare, context, what, act).await
    }

    async fn apply(&self, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
        let what = format!("set {} to {} instances", spec.set, spec.replicas);
        let act = |state: &mut State| apply(state, context, release, spec);
        self.world.call(CallKind::Apply, context, what, act).await
    }

    async fn remove(&self, context: &CallContext, set: &SetId) -> Result<()> {
        let what = format!("remove set {set}");
        let act = |state: &mut State| remove(state, context, set);
        self.world.call(CallKind::Remove, context, what, act).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        let what = format!("watch workload {}", context.workload);
        let hints = self.world.hints();
        self.world.call(CallKind::WatchTarget, context, what, |_| Ok(hints)).await
    }

    async fn evidence(&self, context: &CallContext, instance: &InstanceId) -> Result<Evidence> {
        let what = format!("look at instance {instance}");
        let look = |state: &mut State| evidence(state, &context.workload, instance);
        self.world.call(CallKind::Evidence, context, what, look).await
    }
}

/// What this world resolves a release to: the same content is the same artifact, whatever the release is called.
pub(super) fn resolve(release: &Release) -> Artifact {
    let content = format!("{}\n{}\n{:?}", release.artifact, release.config, release.secrets);
    let hash = content.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Artifact { digest: Arc::from(format!("fake:{hash:016x}")), detail: serde_json::Value::Null }
}

/// Instances that are ready at once and that no deployment made.
pub(super) fn put(
    state: &mut State,
    workload: &WorkloadId,
    set: &SetId,
    release: &PinnedRelease,
    replicas: u32,
) -> Vec<Instance> {
    let key = (workload.clone(), set.clone());
    let deployment = DeploymentId::new("before").expect("a constant that is a valid name");
    let now = state.now;
    (0..replicas)
        .filter_map(|_| {
            let place = emptiest_place(state, workload)?;
            let mut instance = make(state, &key, release, place, &deployment, Epoch(0));
            (instance.up_at, instance.ready_at, instance.dies) = (now, Some(now), None);
            let view = instance.view(now, state.settings.target.admits_itself);
            set_of(state, &key, release).instances.push(instance);
            Some(view)
        })
        .collect()
}

fn view(state: &State, workload: &WorkloadId) -> Result<WorkloadView> {
    let reachable = |place: &Place| !state.unknown_places.contains_key(place);
    if !state.settings.places.iter().any(reachable) {
        return Err(BackendError::new(ErrorKind::Unavailable, "observe", "no place can be reached"));
    }
    let status = |place: &Place| match state.unknown_places.get(place) {
        Some(why) => PlaceStatus::Unknown { why: why.clone() },
        None => PlaceStatus::Known,
    };
    let places = state.settings.places.iter();
    let sets = state.sets_of(workload).map(|(set, value)| {
        let seen = value.instances.iter().filter(|one| reachable(&one.place));
        SetView {
            set: set.clone(),
            instances: seen.map(|one| one.view(state.now, state.settings.target.admits_itself)).collect(),
        }
    });
    Ok(WorkloadView {
        places: places.map(|place| PlaceView { place: place.clone(), status: status(place) }).collect(),
        sets: sets.collect(),
    })
}

fn prepare(state: &State, release: &Release) -> Result<Artifact> {
    let what = format!("prepare release {}", release.id);
    if state.behaviours.get(&release.id).is_some_and(|behaviour| behaviour.missing) {
        let message = format!("there is no artifact {:?}", release.artifact);
        return Err(BackendError::new(ErrorKind::NotFound, what, message));
    }
    if !(release.config.is_null() || release.config.is_object()) {
        return Err(BackendError::new(ErrorKind::InvalidInput, what, "config is neither an object nor null"));
    }
    Ok(resolve(release))
}

fn apply(state: &mut State, context: &CallContext, release: &PinnedRelease, spec: &SetSpec) -> Result<()> {
    let what = format!("set {} to {} instances", spec.set, spec.replicas);
    let error = |kind, message: String| BackendError::new(kind, what.clone(), message);
    fence(&mut state.target_epochs, state.settings.target.fences, context, &what)?;
    if spec.set != SetId::from(&release.release.id) {
        let message = format!("release {} makes another set", release.release.id);
        return Err(error(ErrorKind::InvalidInput, message));
    }
    let key = (context.workload.clone(), spec.set.clone());
    let live = match state.sets.get(&key) {
        None => 0,
        Some(set) if set.digest != release.artifact.digest => {
            let message = format!("it exists with artifact {}, not {}", set.digest, release.artifact.digest);
            return Err(error(ErrorKind::AlreadyExists, message));
        }
        Some(set) => set.instances.iter().filter(|one| one.is_live()).count(),
    };
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    let adopted = state.sets.get(&key).is_some_and(|set| set.release.is_none());
    if adopted && spec.replicas > live && !state.settings.target.grows_adopted {
        return Err(error(ErrorKind::Unsupported, "an adopted set cannot grow".to_owned()));
    }
    if spec.replicas > live
        && state.behaviours.get(&release.release.id).is_some_and(|behaviour| behaviour.missing)
    {
        return Err(error(
            ErrorKind::NotFound,
            format!("there is no artifact {:?}", release.release.artifact),
        ));
    }
    let set = set_of(state, &key, release);
    set.removing = false;
    set.instances.retain(FakeInstance::exists);
    for _ in live..spec.replicas {
        let Some(place) = emptiest_place(state, &key.0) else {
            return Err(error(ErrorKind::Unavailable, "no place can be reached".to_owned()));
        };
        let instance = make(state, &key, release, place, &context.deployment, context.epoch);
        set_of(state, &key, release).instances.push(instance);
    }
    let victims = victims(state, &key, live.saturating_sub(spec.replicas), &spec.remove_first);
    stop_reachable(state, &key, &victims, &what)
}

fn remove(state: &mut State, context: &CallContext, set: &SetId) -> Result<()> {
    let what = format!("remove set {set}");
    fence(&mut state.target_epochs, state.settings.target.fences, context, &what)?;
    let key = (context.workload.clone(), set.clone());
    let Some(found) = state.sets.get_mut(&key) else { return Ok(()) };
    found.removing = true;
    found.instances.retain(FakeInstance::exists);
    let live: Vec<_> = found.instances.iter().filter(|one| one.is_live()).map(|one| one.id.clone()).collect();
    if found.instances.is_empty() {
        state.sets.remove(&key);
    }
    stop_reachable(state, &key, &live, &what)
}

fn evidence(state: &State, workload: &WorkloadId, id: &InstanceId) -> Result<Evidence> {
    let what = format!("look at instance {id}");
    let Some((_, instance)) = state.find(workload, id) else {
        return Err(BackendError::new(ErrorKind::NotFound, what, "nothing is known of it"));
    };
    if let Some(why) = state.unknown_places.get(&instance.place) {
        return Err(BackendError::new(ErrorKind::Unavailable, what, why.clone()));
    }
    Ok(Evidence {
        log: format!("{} {id} started\n", instance.started_at),
        exit: instance.ended.clone(),
        events: vec![format!("made by deployment {} with epoch {}", instance.deployment, instance.epoch)],
    })
}

/// The live instances that go when a set loses `count`: the named ones, then those that do not work, then the newest.
/// A target that does not pin victims takes the newest, whatever was named.
fn victims(state: &State, key: &SetKey, count: u32, remove_first: &[InstanceId]) -> Vec<InstanceId> {
    let pins = state.settings.target.pins_victims;
    let Some(set) = state.sets.get(key) else { return Vec::new() };
    let mut live: Vec<_> = set.instances.iter().filter(|one| one.is_live()).rev().collect();
    if pins {
        let rank =
            |one: &FakeInstance| remove_first.iter().position(|id| *id == one.id).unwrap_or(usize::MAX);
        live.sort_by_key(|one| (rank(one), one.works(state.now)));
    }
    live.into_iter().take(count as usize).map(|one| one.id.clone()).collect()
}

/// Tells instances to stop, as far as their places can be reached.
fn stop_reachable(state: &mut State, key: &SetKey, ids: &[InstanceId], what: &str) -> Result<()> {
    let mut unreachable = None;
    for id in ids {
        let place = state.find(&key.0, id).map(|(_, one)| one.place.clone());
        match place.filter(|place| state.unknown_places.contains_key(place)) {
            Some(place) => {
                unreachable = Some(format!("instance {id} is at {place}, which cannot be reached"));
            }
            None => state.stop(key, id),
        }
    }
    unreachable.map_or(Ok(()), |message| Err(BackendError::new(ErrorKind::Unavailable, what, message)))
}

fn set_of<'a>(state: &'a mut State, key: &SetKey, release: &PinnedRelease) -> &'a mut FakeSet {
    state.sets.entry(key.clone()).or_insert_with(|| FakeSet {
        release: Some(release.clone()),
        digest: Arc::clone(&release.artifact.digest),
        instances: Vec::new(),
        removing: false,
    })
}

/// The reachable place with the fewest instances of the workload.
fn emptiest_place(state: &State, workload: &WorkloadId) -> Option<Place> {
    let count = |place: &Place| {
        let all = state.sets_of(workload).flat_map(|(_, set)| &set.instances);
        all.filter(|one| one.exists() && one.place == *place).count()
    };
    let places = state.settings.places.iter().filter(|place| !state.unknown_places.contains_key(place));
    places.min_by_key(|place| count(place)).cloned()
}

fn make(
    state: &mut State,
    key: &SetKey,
    release: &PinnedRelease,
    place: Place,
    deployment: &DeploymentId,
    epoch: Epoch,
) -> FakeInstance {
    let behaviour = state.behaviours.get(&release.release.id).copied().unwrap_or_default();
    let now = state.now;
    let start = state.settings.start.draw(&mut state.random);
    let ready = state.settings.ready.draw(&mut state.random);
    let up_at = now.after(behaviour.start.unwrap_or(start));
    let blocked = state.settings.target.exclusive.clone().filter(|_| {
        state
            .sets_of(&key.0)
            .any(|(set, value)| *set != key.1 && value.instances.iter().any(FakeInstance::exists))
    });
    // Not at this very moment: what happens now has happened.
    let soon = now.after(std::time::Duration::from_millis(1));
    let dies = match (blocked, behaviour.dies_after) {
        (Some(why), _) => Some((up_at.max(soon), format!("exit code 1: another set has it: {why}"))),
        (None, after) => after.map(|after| (now.after(after).max(soon), "exit code 1".to_owned())),
    };
    let number = state.names.entry(key.clone()).or_default();
    *number += 1;
    let id =
        InstanceId::new(format!("{}-{number}", key.1)).expect("a set name and a number are short and plain");
    state.started = state.started.wrapping_add(1);
    let [high, low] = state.started.to_be_bytes();
    FakeInstance {
        id,
        place,
        address: SocketAddr::from(([10, 0, high, low], 8080)),
        digest: Arc::clone(&release.artifact.digest),
        deployment: deployment.clone(),
        epoch,
        started_at: now,
        restarts: 0,
        up_at,
        ready_at: (!behaviour.never_ready).then(|| up_at.after(ready)),
        flaps: behaviour.flaps,
        disturbed: None,
        ignores_stop: behaviour.ignores_stop,
        dies,
        leaving: None,
        ended: None,
        routed: false,
        left_at: None,
    }
}
