//! What no action may do, checked before each one: a violation stops the deployment as stuck.

use std::collections::HashMap;

use super::{
    Budget, Command, InstanceSeen, Observation, Phase, Plan, RolloutState, Seen, SetSeen, Situation,
    Strategy, Vacate,
};
use crate::model::{InFlight, InstanceId, Proof, SetId, SetSpec, Split};

/// An action that must not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant} would be broken: {why}")]
pub struct Violation {
    /// Which one: `unknown`, `capacity`, `keep_old`, `traffic_before_life`, `weight`, `one_way`.
    pub invariant: &'static str,
    /// How.
    pub why: String,
}

type Verdict = Result<(), Violation>;

fn broken<T>(invariant: &'static str, why: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, why: why.into() })
}

/// Checks commands that are about to be carried out. Each must be safe without the others, in any order.
///
/// # Errors
/// The first one that must not be.
pub fn check(
    strategy: &dyn Strategy,
    plan: &Plan,
    state: &RolloutState,
    seen: &Observation,
    commands: &[Command],
) -> Verdict {
    let touches = |command: &&Command| !matches!(command, Command::Prepare(_) | Command::Evaluate(_));
    if !commands.iter().any(|command| touches(&command)) {
        return Ok(());
    }
    if let Seen::Unknown { why } = &seen.sets {
        return broken("unknown", format!("the target could not be looked at: {why}"));
    }
    if let Some(Seen::Unknown { why }) = &seen.traffic {
        return broken("unknown", format!("the router could not be asked: {why}"));
    }
    let budget = Budget::of(strategy, plan, state);
    let s = Situation::new(plan, state, seen, budget);
    let mut growth = 0;
    for command in commands {
        match command {
            Command::Apply(spec) => growth += apply(&s, spec)?,
            Command::Remove(set) => remove(&s, set)?,
            Command::Shift(split) => shift(&s, split)?,
            Command::Prepare(_) | Command::Evaluate(_) => {}
        }
    }
    let total = s.total().saturating_add(growth);
    if growth > 0 && total > budget.max_total {
        return broken(
            "capacity",
            format!("{total} instances would exist, at most {} may", budget.max_total),
        );
    }
    Ok(())
}

/// Returns by how many instances the set grows.
fn apply(s: &Situation<'_>, spec: &SetSpec) -> Result<u32, Violation> {
    let set = s.set(&spec.set);
    let size = set.map_or(0, |set| s.tally_of(set).size);
    if spec.replicas >= size {
        let growth = spec.replicas - size;
        if growth > 0 {
            may_grow(s, &spec.set)?;
        }
        return Ok(growth);
    }
    let Some(set) = set else { return Ok(0) };
    if s.plan.target.delegates {
        return Ok(0);
    }
    let goes = (size - spec.replicas) as usize;
    if spec.remove_first.len() < goes {
        let why =
            format!("{goes} instances of {} would go and {} are named", spec.set, spec.remove_first.len());
        return broken("traffic_before_life", why);
    }
    let mut lookup = Lookup::new(&set.instances);
    let named = spec.remove_first.iter().filter_map(|id| lookup.find(id));
    may_stop(s, set, named, size - spec.replicas)?;
    Ok(0)
}

fn may_grow(s: &Situation<'_>, set: &SetId) -> Verdict {
    let is_stable = s.state.stable.as_ref() == Some(set);
    if *set == s.state.candidate && !is_stable && !s.state.is_forward() {
        return broken("one_way", format!("the new set {set} would grow on the way back"));
    }
    if *set != s.state.candidate && !is_stable {
        return broken("one_way", format!("leftover {set} would grow"));
    }
    Ok(())
}

fn remove(s: &Situation<'_>, id: &SetId) -> Verdict {
    let Some(set) = s.set(id) else { return Ok(()) };
    let is_stable = s.state.stable.as_ref() == Some(id);
    if *id == s.state.candidate && s.state.is_forward() {
        return broken("one_way", format!("the new set {id} would be removed on the way forward"));
    }
    if is_stable && !s.state.is_forward() {
        return broken("one_way", format!("the old set {id} would be removed on the way back to it"));
    }
    may_stop(s, set, set.instances.iter(), s.tally_of(set).size)
}

/// Traffic before life, capacity, and the old set kept.
fn may_stop<'i>(
    s: &Situation<'_>,
    set: &SetSeen,
    instances: impl Iterator<Item = &'i InstanceSeen>,
    goes: u32,
) -> Verdict {
    let budget = s.budget;
    let is_stable = s.state.stable.as_ref() == Some(&set.set) && s.state.candidate != set.set;
    let size = s.tally_of(set).size;
    if budget.keeps_old
        && is_stable
        && s.state.is_forward()
        && s.state.phase != Phase::Retiring
        && size - goes.min(size) < s.replicas().min(size)
    {
        return broken(
            "keep_old",
            format!("the old set {} would shrink before the new one is final", set.set),
        );
    }
    let mut lost = 0;
    for instance in instances.filter(|i| i.counts()) {
        if s.has_router() {
            out_of_traffic(s, instance)?;
        } else {
            lost += u32::from(s.is_verified(&set.set, instance));
        }
    }
    keeps_floor(s, s.available().saturating_sub(lost))
}

fn out_of_traffic(s: &Situation<'_>, instance: &InstanceSeen) -> Verdict {
    let Some(traffic) = s.traffic() else { return Ok(()) };
    let id = &instance.id;
    if instance.in_rotation {
        return broken("traffic_before_life", format!("{id} is still in rotation"));
    }
    let over = |timer: Option<super::Timer>| {
        timer.is_some_and(|t| t.of == traffic.fingerprint && s.now() >= t.until)
    };
    match traffic.proof {
        Proof::Proven { .. } => {}
        Proof::CannotKnow if over(s.state.settle) => {}
        Proof::CannotKnow | Proof::Pending => {
            return broken(
                "traffic_before_life",
                format!("it is not proven that {id} gets no more requests"),
            );
        }
    }
    let counts = s.plan.router.as_ref().is_some_and(|router| router.counts_in_flight);
    match instance.in_flight {
        InFlight::Known(0) => Ok(()),
        InFlight::Unknown if !counts => Ok(()),
        _ if over(s.state.drain) => Ok(()),
        InFlight::Known(n) => broken("traffic_before_life", format!("{id} is still answering {n} requests")),
        InFlight::Unknown => broken("traffic_before_life", format!("{id} may still be answering requests")),
    }
}

fn keeps_floor(s: &Situation<'_>, after: u32) -> Verdict {
    let floor = s.budget.min_available.min(s.available());
    if after < floor {
        return broken("capacity", format!("{after} instances would be available, at least {floor} must"));
    }
    Ok(())
}

fn shift(s: &Situation<'_>, split: &Split) -> Verdict {
    if matches!(split, Split::Maintenance(_)) {
        return keeps_floor(s, 0);
    }
    let mut after = 0;
    let mut members = 0;
    let mut shares = Vec::with_capacity(split.shares().len());
    for share in split.shares() {
        let Some(set) = s.set(&share.set) else {
            return broken("traffic_before_life", format!("set {} does not exist", share.set));
        };
        let well = well_members(s, set, share.members.iter().map(|m| &m.instance))?;
        after += well;
        members += share.members.len();
        shares.push((&share.set, share.weight, well));
    }
    if members == 0 && s.state.vacate != Some(Vacate::EmptyRotation) {
        return broken("capacity", "the rotation would be empty");
    }
    keeps_floor(s, after)?;
    let total = split.total_weight();
    for (set, weight, well) in shares {
        may_carry(s, set, (u64::from(weight), total), well)?;
    }
    Ok(())
}

/// How many of the members are verified; those that enter all have to be.
fn well_members<'m>(
    s: &Situation<'_>,
    set: &SetSeen,
    members: impl Iterator<Item = &'m InstanceId>,
) -> Result<u32, Violation> {
    let is_new = set.set == s.state.candidate && s.state.stable.as_ref() != Some(&set.set);
    let mut lookup = Lookup::new(&set.instances);
    let mut well = 0;
    for id in members {
        let Some(instance) = lookup.find(id) else {
            return broken("traffic_before_life", format!("{id} of set {} does not exist", set.set));
        };
        let verified = s.is_verified(&set.set, instance);
        well += u32::from(verified);
        if instance.in_rotation {
            continue;
        }
        if !verified {
            return broken("traffic_before_life", format!("{id} is not verified"));
        }
        if is_new && !s.state.is_forward() {
            return broken("one_way", format!("{id} of the new set would get traffic on the way back"));
        }
    }
    Ok(well)
}

/// A set gets a share only if its instances can carry it.
fn may_carry(s: &Situation<'_>, set: &SetId, (weight, total): (u64, u64), well: u32) -> Verdict {
    let Some(needed) = overload(s, set, (weight, total), well) else { return Ok(()) };
    let why = format!(
        "{weight} of {total} parts of the traffic need {needed} instances of {set}, {well} are verified"
    );
    broken("weight", why)
}

/// How many verified instances a set would need for a share that is larger than the one it has, if `well` are too few.
/// What it has already is not our doing, nor is it while others are missing that nobody took out.
pub(super) fn overload(
    s: &Situation<'_>,
    set: &SetId,
    (weight, total): (u64, u64),
    well: u32,
) -> Option<u64> {
    let present = &s.traffic()?.split;
    let before = present.share(set).map_or(0, |share| u64::from(share.weight));
    let total_before = present.total_weight();
    let grows = total_before == 0 || weight * total_before > before * total;
    if !grows || total == 0 || weight == 0 {
        return None;
    }
    let members_before = present.share(set).map_or(0, |share| share.members.len());
    let Budget { min_available, .. } = s.budget;
    let involuntary = s.tally(set).in_rotation as usize <= members_before && s.available() < min_available;
    let replicas = u64::from(s.replicas());
    let needed = (weight * replicas).div_ceil(total);
    let spare = replicas.saturating_sub(u64::from(min_available));
    let is_too_few = needed > u64::from(well) + spare && !involuntary && min_available > 0;
    is_too_few.then_some(needed)
}

/// Instances by id: members and instances are both sorted, so the next one is nearly always the right one.
pub(super) struct Lookup<'a> {
    instances: &'a [InstanceSeen],
    next: usize,
    index: Option<HashMap<&'a InstanceId, usize>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(instances: &'a [InstanceSeen]) -> Self {
        Self { instances, next: 0, index: None }
    }

    pub(super) fn find(&mut self, id: &InstanceId) -> Option<&'a InstanceSeen> {
        let rest = &self.instances[self.next.min(self.instances.len())..];
        if let Some(step) = rest.iter().take(8).position(|instance| instance.id == *id) {
            self.next += step + 1;
            return rest.get(step);
        }
        let instances = self.instances;
        let index =
            self.index.get_or_insert_with(|| instances.iter().enumerate().map(|(n, i)| (&i.id, n)).collect());
        index.get(id).map(|n| &instances[*n])
    }
}
