//! Bugs on purpose, each a thin wrapper around the production step: a check that misses one is worth nothing.

use std::time::Duration;

use deployer_core::{
    model::{Amount, InFlight, InstancePhase, Proof, Timestamp},
    strategy::{
        Command, Decision, Direction, InstanceSeen, Observation, PauseReason, Phase, Plan, Rolling,
        RollingSettings, RolloutState, Seen, Strategy, TrafficSeen, Verdict, WaitReason, step,
    },
};

use super::{
    catalog::{self, Case, Router},
    lab::Stepper,
    names,
    scenario::Scenario,
};

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// One instance fewer than allowed may stay available.
    FloorOffByOne,
    /// One instance more than allowed may exist.
    CeilingOffByOne,
    /// Whatever runs gets requests.
    TrafficBeforeVerified,
    /// An accepted split counts as followed.
    StopBeforeProof,
    /// Requests in flight are not waited for.
    StopBeforeDrain,
    /// Traffic goes back to an old set that is not whole yet.
    TrafficBackBeforeSize,
    /// A new process goes forward again.
    DirectionLostOnResume,
    /// What could not be looked at does not exist.
    UnknownIsZero,
    /// When the deadline has passed everything is taken as done.
    TimeOutIsDone,
    /// The way back leads to the other set.
    WrongOldSet,
    /// The old set is removed together with the switch.
    RemoveWithWeight,
    /// A new process sets all timers anew.
    TimerResetOnResume,
    /// The bake time is over at once.
    NoBakeTime,
    /// A gate that holds has passed.
    HoldIsPass,
    /// Whatever runs is taken for what was prepared.
    DigestIgnored,
    /// Members stay as they are when addresses change.
    AddressIgnored,
    /// The end is declared when the new set serves, whatever else is there.
    EndsTooEarly,
    /// Failure turns nothing round: everything waits.
    WaitsForEver,
    /// Whatever a person answers, it waits for a person.
    PausesForEver,
}

impl Planted {
    /// All of them.
    pub(super) const ALL: [Self; 19] = [
        Self::FloorOffByOne,
        Self::CeilingOffByOne,
        Self::TrafficBeforeVerified,
        Self::StopBeforeProof,
        Self::StopBeforeDrain,
        Self::TrafficBackBeforeSize,
        Self::DirectionLostOnResume,
        Self::UnknownIsZero,
        Self::TimeOutIsDone,
        Self::WrongOldSet,
        Self::RemoveWithWeight,
        Self::TimerResetOnResume,
        Self::NoBakeTime,
        Self::HoldIsPass,
        Self::DigestIgnored,
        Self::AddressIgnored,
        Self::EndsTooEarly,
        Self::WaitsForEver,
        Self::PausesForEver,
    ];

    /// A small scenario in which it does harm.
    pub(super) fn scenario(self) -> Scenario {
        let case = |faults, crashes| Case::new(2, Router::Proves).limits(faults, crashes, 0);
        match self {
            Self::FloorOffByOne | Self::CeilingOffByOne | Self::StopBeforeProof | Self::StopBeforeDrain => {
                case(0, 0).rolling(1, 0, None)
            }
            Self::TrafficBeforeVerified
            | Self::TimeOutIsDone
            | Self::RemoveWithWeight
            | Self::NoBakeTime
            | Self::WrongOldSet
            | Self::EndsTooEarly
            | Self::PausesForEver => case(0, 0).blue_green(100),
            Self::TrafficBackBeforeSize => case(2, 0).blue_green(100),
            Self::DirectionLostOnResume | Self::TimerResetOnResume => {
                Case::new(2, Router::Silent).limits(0, 1, 0).blue_green(100)
            }
            Self::UnknownIsZero | Self::DigestIgnored => case(1, 0).rolling(1, 0, None),
            Self::AddressIgnored => case(1, 0).rolling(0, 1, None),
            Self::HoldIsPass => {
                case(0, 0).gate(deployer_core::model::AttachPoint::FullTraffic).blue_green(100)
            }
            Self::WaitsForEver => case(0, 0).with("patient", catalog::patient).rolling(1, 0, None),
        }
    }
}

impl Stepper for Planted {
    fn name(&self) -> &'static str {
        match self {
            Self::FloorOffByOne => "floor off by one",
            Self::CeilingOffByOne => "ceiling off by one",
            Self::TrafficBeforeVerified => "traffic before verified",
            Self::StopBeforeProof => "stop before proof",
            Self::StopBeforeDrain => "stop before drain",
            Self::TrafficBackBeforeSize => "traffic back before size",
            Self::DirectionLostOnResume => "direction lost on resume",
            Self::UnknownIsZero => "unknown is zero",
            Self::TimeOutIsDone => "time-out is done",
            Self::WrongOldSet => "wrong old set",
            Self::RemoveWithWeight => "remove with weight",
            Self::TimerResetOnResume => "timer reset on resume",
            Self::NoBakeTime => "no bake time",
            Self::HoldIsPass => "hold is pass",
            Self::DigestIgnored => "digest ignored",
            Self::AddressIgnored => "address ignored",
            Self::EndsTooEarly => "ends too early",
            Self::WaitsForEver => "waits for ever",
            Self::PausesForEver => "pauses for ever",
        }
    }

    fn step(
        &self,
        strategy: &dyn Strategy,
        plan: &Plan,
        state: &RolloutState,
        seen: &Observation,
    ) -> Decision {
        match self {
            Self::FloorOffByOne => step(&looser(1, 1), plan, state, seen),
            Self::CeilingOffByOne => step(&looser(2, 0), plan, state, seen),
            Self::TrafficBackBeforeSize => smaller_way_back(strategy, plan, state, seen),
            Self::DirectionLostOnResume => forward_again(strategy, plan, state, seen),
            Self::WrongOldSet => other_set(strategy, plan, state, seen),
            Self::RemoveWithWeight => remove_at_once(step(strategy, plan, state, seen), state),
            Self::TimerResetOnResume => {
                reset_timers(plan, state, seen).unwrap_or_else(|| step(strategy, plan, state, seen))
            }
            Self::NoBakeTime => {
                let mut state = state.clone();
                state.bake_until = state.bake_until.map(|_| seen.now);
                step(strategy, plan, &state, seen)
            }
            Self::EndsTooEarly => ends_early(step(strategy, plan, state, seen)),
            Self::WaitsForEver => never_turns(step(strategy, plan, state, seen), state, seen),
            Self::PausesForEver if state.phase == Phase::Shifting && seen.requests.is_empty() => {
                Decision::Pause { why: PauseReason::Requested }
            }
            _ => {
                let mut seen = seen.clone();
                self.distort(plan, state, &mut seen);
                step(strategy, plan, state, &seen)
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl Planted {
    /// Bugs that come from not looking properly.
    fn distort(self, plan: &Plan, state: &RolloutState, seen: &mut Observation) {
        match self {
            Self::TrafficBeforeVerified => each(seen, ready),
            Self::StopBeforeProof => proven(seen),
            Self::StopBeforeDrain => each(seen, |instance| instance.in_flight = InFlight::Known(0)),
            Self::UnknownIsZero => {
                if matches!(seen.sets, Seen::Unknown { .. }) {
                    seen.sets = Seen::Known(Vec::new());
                }
            }
            Self::TimeOutIsDone if seen.now >= state.progress_until => {
                each(seen, ready);
                proven(seen);
            }
            Self::HoldIsPass => {
                for gate in &mut seen.gates {
                    if let Verdict::Hold { reason } = &gate.verdict {
                        gate.verdict = Verdict::Pass { reason: reason.clone() };
                    }
                }
            }
            Self::DigestIgnored => {
                let digest = names::artifact(1).digest;
                let candidate = plan.candidate();
                if let Seen::Known(sets) = &mut seen.sets {
                    for set in sets.iter_mut().filter(|set| set.set == candidate) {
                        set.instances.iter_mut().for_each(|instance| instance.digest = digest.clone());
                    }
                }
            }
            Self::AddressIgnored => address_ignored(seen),
            _ => {}
        }
    }
}

fn each(seen: &mut Observation, change: impl Fn(&mut InstanceSeen)) {
    if let Seen::Known(sets) = &mut seen.sets {
        sets.iter_mut().flat_map(|set| &mut set.instances).for_each(change);
    }
}

fn ready(instance: &mut InstanceSeen) {
    if matches!(instance.phase, InstancePhase::Starting) {
        instance.phase = InstancePhase::Running { ready: None };
        instance.ready_since = Some(Timestamp::default());
    }
}

fn traffic(seen: &mut Observation) -> Option<&mut TrafficSeen> {
    match &mut seen.traffic {
        Some(Seen::Known(traffic)) => Some(traffic),
        _ => None,
    }
}

fn proven(seen: &mut Observation) {
    if let Some(traffic) = traffic(seen) {
        traffic.proof = Proof::Proven { generation: 1 };
    }
}

fn address_ignored(seen: &mut Observation) {
    let Some(traffic) = traffic(seen) else {
        return;
    };
    traffic.stale_members = 0;
    let members: Vec<_> =
        traffic.split.shares().iter().flat_map(|share| &share.members).map(|m| m.instance.clone()).collect();
    each(seen, |instance| instance.in_rotation |= members.contains(&instance.id));
}

/// The strategy of the scenario with a looser budget.
fn looser(surge: u32, unavailable: u32) -> Rolling {
    let settings = RollingSettings {
        surge: Amount::Count(surge),
        max_unavailable: Amount::Count(unavailable),
        settle_window: SECOND,
        ..RollingSettings::default()
    };
    Rolling::new(settings).expect("one of the two is not zero")
}

fn smaller_way_back(
    strategy: &dyn Strategy,
    plan: &Plan,
    state: &RolloutState,
    seen: &Observation,
) -> Decision {
    if state.is_forward() {
        return step(strategy, plan, state, seen);
    }
    let smaller = RolloutState { replicas: 1, ..state.clone() };
    match step(strategy, plan, &smaller, seen) {
        Decision::Advance { state: mut new, why } => {
            new.replicas = state.replicas;
            Decision::Advance { state: new, why }
        }
        other => other,
    }
}

fn forward_again(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) -> Decision {
    if state.is_forward() || !seen.prepared.is_empty() {
        return step(strategy, plan, state, seen);
    }
    let state = RolloutState { direction: Direction::Forward, ..state.clone() };
    step(strategy, plan, &state, seen)
}

fn other_set(strategy: &dyn Strategy, plan: &Plan, state: &RolloutState, seen: &Observation) -> Decision {
    if state.is_forward() {
        return step(strategy, plan, state, seen);
    }
    let other = Some(state.candidate.clone());
    let turned = RolloutState { stable: other, ..state.clone() };
    match step(strategy, plan, &turned, seen) {
        Decision::Advance { state: mut new, why } => {
            new.stable.clone_from(&state.stable);
            Decision::Advance { state: new, why }
        }
        other => other,
    }
}

fn remove_at_once(decision: Decision, state: &RolloutState) -> Decision {
    match (decision, &state.stable) {
        (Decision::Act { mut commands, why }, Some(stable)) => {
            let leaves = |command: &Command| match command {
                Command::Shift(split) => split.share(stable).is_none(),
                _ => false,
            };
            if state.is_forward() && commands.iter().any(leaves) {
                commands.push(Command::Remove(stable.clone()));
            }
            Decision::Act { commands, why }
        }
        (other, _) => other,
    }
}

fn reset_timers(plan: &Plan, state: &RolloutState, seen: &Observation) -> Option<Decision> {
    let timer = state.settle.filter(|timer| timer.until > seen.now)?;
    let until = seen.now.after(plan.settings.settle).after(SECOND);
    if !seen.prepared.is_empty() || timer.until >= until {
        return None;
    }
    let mut new = state.clone();
    new.settle = Some(deployer_core::strategy::Timer { until, ..timer });
    Some(Decision::Advance { state: Box::new(new), why: "the timer starts".into() })
}

fn never_turns(decision: Decision, state: &RolloutState, seen: &Observation) -> Decision {
    let soon = seen.now.after(SECOND);
    match decision {
        Decision::Wait { why, .. } => Decision::Wait { why, until: soon },
        Decision::Advance { state: new, .. } if new.direction != state.direction => {
            Decision::Wait { why: WaitReason::Preparing, until: soon }
        }
        other => other,
    }
}

fn ends_early(decision: Decision) -> Decision {
    match decision {
        Decision::Advance { state, .. } if state.is_forward() && state.phase == Phase::Retiring => {
            Decision::Finish(deployer_core::strategy::Outcome::Succeeded)
        }
        other => other,
    }
}
