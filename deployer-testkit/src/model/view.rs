//! A checked world as the driver would show it to a step.

use deployer_core::{
    model::{InFlight, InstancePhase, Maintenance, Proof, SetSpec, Share, Split},
    strategy::{
        CommandFailure, CommandKind, GateSeen, InstanceSeen, Observation, PlaceSeen, Request, RequestKind,
        RolloutState, Seen, SetSeen, Timer, TrafficSeen, Verdict,
    },
};

use super::{
    lab::Lab,
    memos::{NOW, ago, hence},
    names::{self, Names, SETS},
    slot::{Flags, Life, Slot},
    world::{Binding, Shape, ShapeKind, World},
};

/// What the rollout remembers, with the names and fingerprints that belong to this world.
pub(super) fn memory(lab: &Lab<'_>, world: &World) -> RolloutState {
    let mut state = lab.memos.get(world.memo).clone();
    let counted = world.slots.iter().filter(|slot| slot.is(Flags::COUNTED));
    state.failed.extend(counted.map(|slot| lab.names.instance(slot).clone()));
    state.failed.extend((0..world.failed_gone).map(|number| lab.names.gone(number).clone()));
    bind(lab, world, &mut state.settle, world.settle, Flags::OF_SETTLE);
    bind(lab, world, &mut state.drain, world.drain, Flags::OF_DRAIN);
    state
}

fn bind(lab: &Lab<'_>, world: &World, timer: &mut Option<Timer>, binding: Binding, members: Flags) {
    if let Some(timer) = timer {
        timer.of = match binding {
            Binding::None => 0,
            Binding::Other(raw) => raw,
            Binding::Split(shape) => Observation::fingerprint_of(&split(lab, world, shape, members)),
        };
    }
}

/// A split with its members.
pub(super) fn split(lab: &Lab<'_>, world: &World, shape: Shape, members: Flags) -> Split {
    if shape.kind == ShapeKind::Maintenance {
        let page: &Maintenance = lab.memos.page_of(shape.extra);
        return Split::Maintenance(page.clone());
    }
    let by_address = lab.by_address();
    let part = |(set, weight): &(u8, u16)| Share {
        set: lab.sets[usize::from(*set)].clone(),
        weight: u32::from(*weight),
        members: world
            .of(*set)
            .filter(|slot| slot.is(members))
            .map(|slot| lab.names.member(slot, by_address))
            .collect(),
    };
    Split::Serve {
        shares: shape.shares().iter().map(part).collect(),
        routes: lab.memos.routes_of(shape.extra).to_vec(),
    }
}

/// Everything that a step may look at.
pub(super) fn observe(lab: &Lab<'_>, world: &World) -> Observation {
    let plan = &lab.scenario.plan;
    let hidden = |slot: &&Slot| slot.is(Flags::UNKNOWN) && slot.life != Life::Gone;
    let place = |slot: &Slot| PlaceSeen {
        place: lab.names.place(slot).clone(),
        why: "no route".to_owned(),
        remembered: !slot.is(Flags::HIDDEN),
    };
    let prepared = world.prepared.then(|| (plan.release.id.clone(), names::artifact(lab.scenario.candidate)));
    Observation {
        now: NOW,
        sets: sets(lab, world),
        unknown_places: world.slots.iter().filter(hidden).map(place).collect(),
        traffic: traffic(lab, world),
        prepared: prepared.into_iter().collect(),
        accepted: accepted(lab, world),
        gates: gates(lab, world),
        requests: requests(lab, world),
        refused: refused(world.refused),
    }
}

fn sets(lab: &Lab<'_>, world: &World) -> Seen<Vec<SetSeen>> {
    if world.target_unknown {
        return Seen::Unknown { why: "timed out".to_owned() };
    }
    let shown = |slot: &&Slot| slot.life != Life::Gone && !slot.is(Flags::HIDDEN);
    let set = |set: u8| SetSeen {
        hidden: 0,
        set: lab.sets[usize::from(set)].clone(),
        instances: world.of(set).filter(shown).map(|slot| instance(lab, world, slot)).collect(),
    };
    let all = (0..u8::try_from(SETS).expect("three")).map(set);
    Seen::Known(all.filter(|set| !set.instances.is_empty()).collect())
}

fn instance(lab: &Lab<'_>, world: &World, slot: &Slot) -> InstanceSeen {
    let fallen = slot.life == Life::Fallen;
    let in_split = slot.is(Flags::IN_SPLIT) && !slot.is(Flags::MOVED);
    let counts = lab.scenario.plan.router.as_ref().is_some_and(|router| router.counts_in_flight);
    let known = counts && !world.router_unknown && !in_split;
    InstanceSeen {
        id: lab.names.instance(slot).clone(),
        address: Some(Names::address(slot)),
        phase: match slot.life {
            Life::Starting if slot.is(Flags::UNJUDGED) => InstancePhase::Running { ready: None },
            Life::Starting | Life::Gone => InstancePhase::Starting,
            Life::Fresh | Life::Ready | Life::Fallen => InstancePhase::Running { ready: None },
            Life::Stopping => InstancePhase::Stopping { until: hence(2) },
            Life::Failed => InstancePhase::Failed { reason: "exit code 1".to_owned() },
        },
        started_at: ago(slot.born),
        restarts: u32::from(slot.is(Flags::RESTARTED)),
        ready_since: (slot.life == Life::Ready && !slot.is(Flags::UNKNOWN)).then(|| ago(slot.ready)),
        has_fallen: fallen,
        judged: !slot.is(Flags::UNJUDGED),
        trouble: if fallen { lab.names.trouble.clone() } else { lab.names.no_trouble.clone() },
        digest: lab.names.digest(slot),
        in_rotation: in_split && !world.router_unknown,
        in_flight: if known { InFlight::Known(u32::from(slot.is(Flags::BUSY))) } else { InFlight::Unknown },
        unknown: slot.is(Flags::UNKNOWN),
    }
}

fn traffic(lab: &Lab<'_>, world: &World) -> Option<Seen<TrafficSeen>> {
    let router = lab.scenario.plan.router.as_ref()?;
    if world.router_unknown {
        return Some(Seen::Unknown { why: "timed out".to_owned() });
    }
    let split = split(lab, world, world.split, Flags::IN_SPLIT);
    let proof = match (router.proves, world.pending) {
        (false, _) => Proof::CannotKnow,
        (true, true) => Proof::Pending,
        (true, false) => Proof::Proven { generation: 1 },
    };
    let stale = |slot: &&Slot| {
        slot.is(Flags::IN_SPLIT)
            && (slot.is(Flags::MOVED) || slot.life == Life::Gone || slot.is(Flags::HIDDEN))
    };
    let stale_members = u32::try_from(world.slots.iter().filter(stale).count()).expect("at most 16 slots");
    let fingerprint = Observation::fingerprint_of(&split);
    Some(Seen::Known(TrafficSeen { split, proof, fingerprint, stale_members }))
}

fn accepted(lab: &Lab<'_>, world: &World) -> Option<SetSpec> {
    let (set, replicas) = world.accepted?;
    let set = lab.sets[usize::from(set)].clone();
    Some(SetSpec { set, replicas: u32::from(replicas), remove_first: Vec::new() })
}

fn gates(lab: &Lab<'_>, world: &World) -> Vec<GateSeen> {
    let bound = lab.scenario.plan.gates.iter().zip(&world.answers);
    bound
        .filter(|(_, answer)| answer.verdict != 0)
        .map(|(binding, answer)| GateSeen {
            gate: binding.gate.clone(),
            at: binding.at,
            step: u32::from(answer.step),
            verdict: verdict(answer.verdict),
            next_at: hence(answer.again_in),
        })
        .collect()
}

/// A verdict by number.
pub(super) fn verdict(number: u8) -> Verdict {
    let reason = "checked".to_owned();
    match number {
        1 => Verdict::Pass { reason },
        2 => Verdict::Fail { reason },
        3 => Verdict::Hold { reason },
        _ => Verdict::Unknown { reason },
    }
}

fn requests(lab: &Lab<'_>, world: &World) -> Vec<Request> {
    let waiting = world.requests.iter().filter(|kind| **kind != 0);
    waiting
        .zip(1..)
        .map(|(kind, number)| Request { number, kind: request(&lab.scenario.scales, *kind), posted: None })
        .collect()
}

/// A request by number.
pub(super) fn request(scales: &[u32], number: u8) -> RequestKind {
    match number {
        1 => RequestKind::Abort { reason: "bad".to_owned() },
        2 => RequestKind::Pause,
        3 => RequestKind::Resume,
        4 => RequestKind::Promote,
        5 => RequestKind::PromoteFully,
        6 => RequestKind::Supersede { by: "next".to_owned() },
        scale => RequestKind::Scale { replicas: scales[usize::from(scale - 7)] },
    }
}

/// A refused command by number.
fn refused(number: u8) -> Option<CommandFailure> {
    let kind = match number {
        0 => return None,
        1 => CommandKind::Prepare,
        2 => CommandKind::Apply,
        3 => CommandKind::Shift,
        _ => CommandKind::Remove,
    };
    Some(CommandFailure { kind, reason: "permission denied".to_owned() })
}
