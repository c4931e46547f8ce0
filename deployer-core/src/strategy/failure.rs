//! When instances of the new release count as failed, and when there are too many of them.

use super::{Cause, Decision, Direction, InstanceSeen, Phase, Situation};
use crate::model::InstancePhase;

/// Takes in new failures: each instance counts once. Turns round above the failure ratio.
pub(super) fn take_in(s: &Situation<'_>) -> Option<Decision> {
    if !s.state.is_forward() || s.state.phase == Phase::Retiring {
        return None;
    }
    let set = s.set(&s.state.candidate)?;
    let new = |i: &&InstanceSeen| !s.state.failed.contains(&i.id);
    let mut failed: Vec<_> =
        set.instances.iter().filter(new).filter_map(|i| Some((i.id.clone(), trouble(s, i)?))).collect();
    let (last, reason) = failed.last()?;
    let reason = format!("{last}: {reason}");
    let count = u32::try_from(s.state.failed.len() + failed.len()).unwrap_or(u32::MAX);
    let limit = u64::from(s.plan.settings.failure_ratio.get()) * u64::from(s.replicas());
    // A repair has nothing to go back to: it replaces what fails until its deadline.
    let too_many = u64::from(count) * 100 > limit && s.state.stable.as_ref() != Some(&s.state.candidate);
    let cause = Cause::InstancesFailed { failed: count, replicas: s.replicas(), reason };
    let why = if too_many { format!("going back: {cause}") } else { format!("tolerated: {cause}") };
    let change = move |state: &mut super::RolloutState| {
        state.failed.extend(failed.drain(..).map(|(id, _)| id));
        if too_many {
            state.direction = Direction::Backward { cause };
            state.paused_since = None;
            state.reached = 0;
        }
    };
    Some(if too_many { s.progress(why, change) } else { s.advance(why, change) })
}

/// Not up again, as far as anybody can tell.
fn is_down(instance: &InstanceSeen) -> bool {
    let fails = instance.judged && instance.ready_since.is_none() && !instance.trouble.is_empty();
    instance.phase == InstancePhase::Starting || fails
}

/// What is wrong with an instance, if it has failed for good.
fn trouble(s: &Situation<'_>, instance: &InstanceSeen) -> Option<String> {
    if instance.unknown {
        return None;
    }
    let settings = &s.plan.settings;
    match &instance.phase {
        InstancePhase::Failed { reason } => Some(reason.clone()),
        InstancePhase::Stopping { .. } => None,
        _ if instance.has_fallen => Some(format!("became unhealthy: {}", instance.trouble)),
        _ if instance.restarts > 0 && is_down(instance) => {
            Some(format!("ended and was restarted {} times: {}", instance.restarts, instance.trouble))
        }
        _ if s.now() >= instance.started_at.after(settings.start_deadline)
            && !s.is_verified(&s.state.candidate, instance)
            && !instance.in_rotation
            && (instance.judged || instance.phase == InstancePhase::Starting) =>
        {
            let seconds = settings.start_deadline.as_secs_f32();
            let trouble = if instance.trouble.is_empty() { "no probe succeeded" } else { &*instance.trouble };
            Some(format!("not verified within {seconds} s: {trouble}"))
        }
        InstancePhase::Running { .. }
            if instance.ready_since.is_some()
                && s.expected_digest(&s.state.candidate)
                    .is_some_and(|digest| *digest != *instance.digest) =>
        {
            Some(format!("runs {} instead of the artifact that was prepared", instance.digest))
        }
        _ => None,
    }
}
