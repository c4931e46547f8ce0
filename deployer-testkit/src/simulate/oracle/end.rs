//! What must be true at the end of a deployment.

use std::time::Duration;

use deployer_core::{
    engine::Report,
    error::DeployError,
    model::{DeploymentId, ReleaseId, SetId, Timestamp},
    strategy::{Outcome, Plan},
};

use super::{
    super::{
        record::{Facts, Record},
        scenario::{Scenario, release_id},
        witness::Witness,
    },
    truth::CANARY,
};
use crate::world::Behaviour;

/// Judges what a run answered against what it wrote.
pub(in super::super) fn ended(record: &mut Record, witness: &Witness, result: &Result<Report, DeployError>) {
    let told = match result {
        Ok(report) => format!("{report}"),
        Err(error) => deployer_core::error::report(error),
    };
    // A report shows the logs of instances, an error their last lines: that is what they are for. Notes are ours.
    let notes = result.as_ref().ok().map(|report| report.notes.concat()).unwrap_or_default();
    if notes.contains(CANARY) {
        record.broken("secrets", "a note has what an instance logged");
    }
    let process = witness.process;
    record.line(|| format!("process {process} ended: {}", told.lines().next().unwrap_or_default()));
    let Some((deployment, outcome)) = last(record, witness) else { return };
    let agrees = matches!(
        (result, &outcome),
        (Ok(_), Some(Outcome::Succeeded))
            | (Err(DeployError::RolledBack { .. }), Some(Outcome::RolledBack { .. }))
            | (Err(DeployError::Aborted { superseded_by: None, .. }), Some(Outcome::Aborted { .. }))
            | (Err(DeployError::Aborted { superseded_by: Some(_), .. }), Some(Outcome::Superseded { .. }))
            | (Err(DeployError::Stuck { .. }), Some(Outcome::Stuck { .. }))
            | (
                Err(DeployError::Interrupted { .. } | DeployError::Refused(_) | DeployError::Locked { .. }),
                _
            )
    );
    if !agrees {
        record.broken("end states", format!("{deployment} answered {told}, and wrote {outcome:?}"));
    }
}

/// The newest deployment of the step that a process deploys.
fn last(record: &Record, witness: &Witness) -> Option<(DeploymentId, Option<Outcome>)> {
    let of_step = record.facts.iter().filter(|(_, facts)| facts.step == witness.step);
    let (deployment, facts) = of_step.max_by_key(|(_, facts)| facts.epoch)?;
    Some((deployment.clone(), facts.outcome.clone()))
}

/// Judges the world at the end that a deployment came to.
pub(in super::super) fn settled(record: &mut Record, witness: &Witness) {
    let Some((deployment, Some(outcome))) = last(record, witness) else { return };
    let facts = &record.facts[&deployment];
    let (Some(plan), Some(state)) = (&facts.plan, &facts.state) else { return };
    let (replicas, candidate, stable) = (state.replicas, state.candidate.clone(), state.stable.clone());
    let (kept, artifact) = match &outcome {
        Outcome::Succeeded if state.is_forward() => (Some(candidate), state.artifact.clone()),
        Outcome::RolledBack { .. } | Outcome::Aborted { .. } if !state.is_forward() => {
            (stable, plan.stable.as_ref().map(|stable| stable.artifact.clone()))
        }
        Outcome::Succeeded | Outcome::RolledBack { .. } | Outcome::Aborted { .. } => {
            return record.broken("end states", format!("{outcome:?} in the other direction"));
        }
        Outcome::Stuck { why, .. } => {
            let excused = why.starts_with("this is the first release") || has_reason(witness, facts, plan);
            if !excused {
                record.broken("end states", format!("stuck where nothing was wrong: {why}"));
            }
            return;
        }
        Outcome::Refused { problems } => {
            let missing =
                witness.scenario.behaviours[witness.scenario.steps[witness.step].release as usize].missing;
            if !missing && witness.scenario.rates.are_zero() {
                record.broken("end states", format!("refused where nothing was wrong: {problems:?}"));
            }
            return;
        }
        _ => return,
    };
    if let Err((oracle, what)) = world(record, witness, (kept.as_ref(), state.candidate.clone()), replicas) {
        record.broken(oracle, format!("{deployment} ended as {outcome:?}: {what}"));
    }
    let digests = witness.world.digests(&witness.world_workload());
    let other = digests.iter().find(|(_, digest)| artifact.as_ref().is_some_and(|a| *a.digest != **digest));
    if let Some((instance, digest)) = other {
        let what = format!("{instance} runs {digest}, which is not what was prepared");
        record.broken("exact identity", what);
    }
}

/// Something that a person has to look at can have happened: to the world, while this deployment went on, or to one of
/// the two releases that it is about. What other releases are like is no reason.
fn has_reason(witness: &Witness, facts: &Facts, plan: &Plan) -> bool {
    let scenario = &witness.scenario;
    let settled = witness.quiet_at.after(scenario.doubt());
    let disturbed = !scenario.rates.are_zero() && facts.began < settled;
    let is_concerned = |id: &ReleaseId| {
        plan.release.id == *id || plan.stable.as_ref().is_some_and(|stable| stable.release.id == *id)
    };
    let unwell = |behaviour: &Behaviour| {
        behaviour.dies_after.is_some()
            || behaviour.flaps.is_some()
            || behaviour.missing
            || behaviour.never_ready
            || slowest_start(scenario, behaviour, plan) > plan.settings.start_deadline
    };
    let releases = (0..).zip(&scenario.behaviours);
    disturbed || releases.into_iter().any(|(number, one)| is_concerned(&release_id(number)) && unwell(one))
}

/// How long it can take until an instance is verified where nothing goes wrong: more than a start may take is a reason
/// to give it up, less is none.
fn slowest_start(scenario: &Scenario, behaviour: &Behaviour, plan: &Plan) -> Duration {
    let probing = &scenario.probing;
    // The first one can be under way when the instance becomes ready.
    let probes = probing.health.rise.get() + 1;
    behaviour.start.unwrap_or(scenario.world.start.most)
        + scenario.world.ready.most
        + (probing.start_interval + scenario.world.probe.most) * probes
        + plan.settings.min_ready
}

fn world(
    record: &Record,
    witness: &Witness,
    (kept, candidate): (Option<&SetId>, SetId),
    replicas: u32,
) -> Result<(), (&'static str, String)> {
    let (world, workload) = (&witness.world, witness.world_workload());
    let orphans = world.orphans(&workload, kept.map(std::slice::from_ref).unwrap_or_default());
    if let Some(orphan) = orphans.first().filter(|orphan| kept.is_some() || orphan.set == candidate) {
        return Err(("no orphan", format!("set {} is left with {:?}", orphan.set, orphan.instances)));
    }
    // Where there is nothing to go back to, what was left over before stays: it may be all that serves.
    if kept.is_none() {
        return Ok(());
    }
    let live = u32::try_from(world.live(&workload).len()).unwrap_or(u32::MAX);
    let wanted = replicas;
    let window = u64::try_from(witness.scenario.doubt().as_millis()).unwrap_or(u64::MAX);
    let since = Timestamp::from_millis(record.now().as_millis().saturating_sub(window));
    let unsure = u32::try_from(world.doubtful(since).len()).unwrap_or(u32::MAX);
    if live > wanted || live + unsure < wanted {
        return Err(("end states", format!("{live} instances instead of {wanted}, {unsure} in doubt")));
    }
    let available = world.available(&workload);
    if available + unsure < wanted {
        return Err(("end states", format!("{available} of {wanted} available, {unsure} in doubt")));
    }
    Ok(())
}
