//! The whole rollout before its first action: the production `step` against a little world in which everything goes
//! well.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Command, Decision, GateSeen, InstanceSeen, Observation, Outcome, Plan, Request, RequestKind,
    RolloutState, Seen, SetSeen, Strategy, Verdict, step,
};
use crate::model::{Artifact, InFlight, InstanceId, InstancePhase, Proof, SetId, SetSpec, Split, Timestamp};

/// More decisions than any rollout of a sensible size takes.
const DECISIONS_MAX: u32 = 100_000;

/// One thing that a rollout would do, or wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreviewStep {
    /// It would do this.
    Act {
        /// What.
        commands: Vec<Command>,
        /// Why.
        why: String,
    },
    /// It would wait this long, or for a person.
    Wait {
        /// For how long at the most; `None` for a person.
        time: Option<Duration>,
        /// What for.
        why: String,
    },
}

/// What a rollout would do if nothing went wrong, or from some action on everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// In order.
    pub steps: Vec<PreviewStep>,
    /// How it would end; `None` if it would not.
    pub outcome: Option<Outcome>,
}

impl Preview {
    /// The actions alone.
    pub fn actions(&self) -> impl Iterator<Item = &[Command]> {
        self.steps.iter().filter_map(|step| match step {
            PreviewStep::Act { commands, .. } => Some(commands.as_slice()),
            PreviewStep::Wait { .. } => None,
        })
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                PreviewStep::Act { commands, why } => {
                    for command in commands {
                        writeln!(f, "{:>3}. {command}  ({why})", number + 1)?;
                    }
                }
                PreviewStep::Wait { time: Some(time), why } => {
                    writeln!(f, "{:>3}. wait {} s at most: {why}", number + 1, time.as_secs_f32())?;
                }
                PreviewStep::Wait { time: None, why } => {
                    writeln!(f, "{:>3}. wait for a person: {why}", number + 1)?;
                }
            }
        }
        match &self.outcome {
            Some(outcome) => write!(f, "end: {outcome:?}"),
            None => f.write_str("it would not end"),
        }
    }
}

/// Runs a rollout from an observation in a world where applies are fulfilled, splits proven, gates pass, and the
/// clock jumps. With `failing_after` it is aborted after that many actions, which shows the way back.
pub fn preview(
    strategy: &dyn Strategy,
    plan: &Plan,
    state: &RolloutState,
    seen: &Observation,
    failing_after: Option<usize>,
) -> Preview {
    let mut world = LittleWorld::new(plan, seen.clone());
    let mut state = state.clone();
    let mut preview = Preview { steps: Vec::new(), outcome: None };
    let mut actions = 0;
    for _ in 0..DECISIONS_MAX {
        if failing_after == Some(actions) && world.seen.requests.is_empty() {
            world.request(&state, RequestKind::Abort { reason: "what if".into() });
        }
        match step(strategy, plan, &state, &world.seen) {
            Decision::Act { commands, why } => {
                for command in &commands {
                    world.carry_out(command, &state);
                }
                preview.steps.push(PreviewStep::Act { commands, why: why.into_owned() });
                actions += 1;
            }
            Decision::Advance { state: new, .. } => {
                state = *new;
                world.seen.refused = None;
            }
            Decision::Wait { why, until } => {
                let time = Some(until.since(world.seen.now));
                preview.steps.push(PreviewStep::Wait { time, why: why.to_string() });
                world.seen.now = until.max(world.seen.now.after(Duration::from_millis(1)));
            }
            Decision::Pause { why } => {
                preview.steps.push(PreviewStep::Wait { time: None, why: why.to_string() });
                let kind =
                    if state.paused_since.is_some() { RequestKind::Resume } else { RequestKind::Promote };
                world.request(&state, kind);
            }
            Decision::Finish(outcome) => {
                preview.outcome = Some(outcome);
                return preview;
            }
        }
    }
    preview
}

struct LittleWorld<'a> {
    plan: &'a Plan,
    seen: Observation,
    born: u32,
}

impl<'a> LittleWorld<'a> {
    /// What runs and serves now is taken to be well.
    fn new(plan: &'a Plan, mut seen: Observation) -> Self {
        let now = seen.now;
        if let Seen::Known(sets) = &mut seen.sets {
            for instance in sets.iter_mut().flat_map(|set| &mut set.instances) {
                instance.judged = true;
                if matches!(instance.phase, InstancePhase::Running { .. }) && !instance.has_fallen {
                    instance
                        .ready_since
                        .get_or_insert(Timestamp::from_millis(now.as_millis().saturating_sub(
                            u64::try_from(plan.settings.min_ready.as_millis()).unwrap_or(0),
                        )));
                }
            }
        }
        Self { plan, seen, born: 0 }
    }

    fn request(&mut self, state: &RolloutState, kind: RequestKind) {
        self.seen.requests.push(Request { number: state.last_request + 1, kind, posted: None });
    }

    fn carry_out(&mut self, command: &Command, state: &RolloutState) {
        match command {
            Command::Prepare(release) => {
                let unknown = || Artifact { digest: Arc::from("preview"), detail: serde_json::Value::Null };
                let artifact = self.plan.pinned.clone().unwrap_or_else(unknown);
                self.seen.prepared.push((release.clone(), artifact));
            }
            Command::Apply(spec) => self.resize(spec, state),
            Command::Remove(set) => self.sets().retain(|seen| seen.set != *set),
            Command::Shift(split) => self.shift(split.clone()),
            Command::Evaluate(gate) => {
                let asked =
                    state.gates.iter().rev().find(|record| record.gate == *gate && record.verdict.is_none());
                let Some(record) = asked else { return };
                let verdict = Verdict::Pass { reason: "preview".into() };
                let (at, step, next_at) = (record.at, record.step, self.seen.now);
                self.seen.gates.push(GateSeen { gate: gate.clone(), at, step, verdict, next_at });
            }
        }
    }

    fn sets(&mut self) -> &mut Vec<SetSeen> {
        if matches!(self.seen.sets, Seen::Unknown { .. }) {
            self.seen.sets = Seen::Known(Vec::new());
        }
        match &mut self.seen.sets {
            Seen::Known(sets) => sets,
            Seen::Unknown { .. } => unreachable!("an unknown world was replaced by an empty one above"),
        }
    }

    fn resize(&mut self, spec: &SetSpec, state: &RolloutState) {
        let digest = self.digest(&spec.set, state);
        let now = self.seen.now;
        let born = self.born;
        let delegated = self.plan.target.delegates;
        let sets = self.sets();
        if delegated {
            sets.retain(|set| set.set == spec.set);
        }
        if !sets.iter().any(|set| set.set == spec.set) {
            sets.push(SetSeen { set: spec.set.clone(), instances: Vec::new(), hidden: 0 });
            sets.sort_by(|a, b| a.set.cmp(&b.set));
        }
        let Some(set) = sets.iter_mut().find(|set| set.set == spec.set) else { return };
        set.instances.retain(super::observation::InstanceSeen::counts);
        let mut excess = set.instances.len().saturating_sub(spec.replicas as usize);
        set.instances.retain(|i| {
            let goes = excess > 0 && spec.remove_first.contains(&i.id);
            excess -= usize::from(goes);
            !goes
        });
        set.instances.truncate(spec.replicas as usize);
        let missing = spec.replicas - u32::try_from(set.instances.len()).unwrap_or(spec.replicas);
        set.instances.extend((0..missing).filter_map(|n| newborn(&spec.set, born + n, &digest, now)));
        set.instances.sort_by(|a, b| a.id.cmp(&b.id));
        self.born += missing;
        self.seen.accepted = Some(spec.clone());
    }

    fn digest(&self, set: &SetId, state: &RolloutState) -> Arc<str> {
        let stable = self.plan.stable.as_ref().filter(|stable| stable.release.id.as_str() == set.as_str());
        match (stable, &state.artifact) {
            (Some(stable), _) if *set != state.candidate => stable.artifact.digest.clone(),
            (_, Some(artifact)) => artifact.digest.clone(),
            _ => Arc::from("preview"),
        }
    }

    fn shift(&mut self, split: Split) {
        let proves = self.plan.router.as_ref().is_some_and(|router| router.proves);
        let Some(Seen::Known(traffic)) = &mut self.seen.traffic else { return };
        let generation = match traffic.proof {
            Proof::Proven { generation } => generation + 1,
            _ => 1,
        };
        traffic.proof = if proves { Proof::Proven { generation } } else { Proof::CannotKnow };
        traffic.fingerprint = Observation::fingerprint_of(&split);
        traffic.stale_members = 0;
        for set in self.sets() {
            let members = split.share(&set.set).map_or(&[][..], |share| &share.members);
            for instance in &mut set.instances {
                instance.in_rotation = members.iter().any(|member| member.instance == instance.id);
                instance.in_flight = InFlight::Known(0);
            }
        }
        if let Some(Seen::Known(traffic)) = &mut self.seen.traffic {
            traffic.split = split;
        }
    }
}

fn newborn(set: &SetId, number: u32, digest: &Arc<str>, now: Timestamp) -> Option<InstanceSeen> {
    Some(InstanceSeen {
        id: InstanceId::new(format!("{set}-new-{number}")).ok()?,
        address: None,
        phase: InstancePhase::Running { ready: Some(true) },
        started_at: now,
        restarts: 0,
        ready_since: Some(now),
        has_fallen: false,
        judged: true,
        trouble: Arc::from(""),
        digest: digest.clone(),
        in_rotation: false,
        in_flight: InFlight::Known(0),
        unknown: false,
    })
}
