//! The way back, the same for every strategy: the old set back to size, available, traffic back, the new set
//! drained, then removed.

use super::{
    Cause, Command, Decision, Direction, Outcome, SetSeen, Situation, WaitReason, delegated,
    exchange::{Exchange, exchange},
    interrupt, removal, traffic,
};
use crate::model::{Maintenance, SetId, Split, WayBack};

pub(super) fn decide(s: &Situation<'_>) -> Decision {
    if let Some(vacate) = &s.state.vacate {
        return removal::take_down(s, vacate).unwrap_or_else(|| finish(s));
    }
    let Some(stable) = &s.state.stable else { return without_stable(s) };
    if s.plan.target.delegates && !s.has_router() && s.budget.max_total == u32::MAX {
        return delegated::become_release(s, stable).unwrap_or_else(|| finish(s));
    }
    let interrupts = s.budget.min_available == 0 && s.budget.max_total == s.replicas();
    if interrupts && s.state.stable.as_ref() != Some(&s.state.candidate) && needs_interruption(s, stable) {
        return interrupt::interrupt(s, stable, &Maintenance::default()).unwrap_or_else(|| finish(s));
    }
    descend(s, stable)
        .or_else(|| exchange(s, Exchange { to: stable, goal: s.replicas(), spare: None }))
        .unwrap_or_else(|| finish(s))
}

/// Whether the old set was touched at all: a recreate that failed before it took anything down just ends.
fn needs_interruption(s: &Situation<'_>, stable: &SetId) -> bool {
    let maintenance = s.traffic().is_some_and(|t| matches!(t.split, Split::Maintenance(_)));
    maintenance || s.sets().iter().any(|set| set.set != *stable) || s.tally(stable).size < s.replicas()
}

/// What the end of a way back is called.
fn finish(s: &Situation<'_>) -> Decision {
    match &s.state.direction {
        Direction::Backward { cause: Cause::AbortRequested { reason } } => {
            Decision::Finish(Outcome::Aborted { reason: reason.clone() })
        }
        Direction::Backward { cause: Cause::RemovalRequested { .. } } => Decision::Finish(Outcome::Succeeded),
        Direction::Backward { cause } => Decision::Finish(Outcome::RolledBack { cause: cause.clone() }),
        Direction::Forward => s.wait(WaitReason::Other { why: "nothing to go back from".into() }),
    }
}

/// A first rollout that fails has nothing to go back to: what has served nobody is removed. What serves may be better
/// than nothing, which is for a person to say.
fn without_stable(s: &Situation<'_>) -> Decision {
    let set = s.set(&s.state.candidate);
    if set.is_none() {
        return finish(s);
    }
    let serves = match s.traffic() {
        Some(traffic) => traffic.split.share(&s.state.candidate).is_some(),
        None => s.tally(&s.state.candidate).available > 0,
    };
    if serves {
        let why = "this is the first release: there is none to go back to, and it is serving; deploy a better one, or remove the workload".to_owned();
        return Decision::Finish(Outcome::Stuck { why, left: vec![format!("set {}", s.state.candidate)] });
    }
    let stopping = |set: &SetSeen| {
        !set.instances.is_empty() && set.instances.iter().all(super::observation::InstanceSeen::is_stopping)
    };
    if set.is_some_and(stopping) {
        return s.wait(WaitReason::Stopping { instances: s.tally(&s.state.candidate).stopping });
    }
    let running = set.into_iter().flat_map(|set| set.instances.iter().filter(|i| i.counts()));
    if let Some(decision) = traffic::proven(s).or_else(|| traffic::drained(s, running)) {
        return decision;
    }
    let commands = vec![Command::Remove(s.state.candidate.clone())];
    Decision::Act { commands, why: "remove the release that never served".into() }
}

/// The candidate loses weight step by step, where that was asked for.
fn descend(s: &Situation<'_>, stable: &SetId) -> Option<Decision> {
    let WayBack::Gradual { step, every } = s.plan.settings.way_back else { return None };
    let traffic = s.traffic()?;
    let share = traffic.split.share(&s.state.candidate)?;
    let weight =
        u32::try_from(u64::from(share.weight) * 100 / traffic.split.total_weight().max(1)).unwrap_or(100);
    if !s.budget.keeps_old || weight == 0 {
        return None;
    }
    if let Some(decision) = traffic::proven(s) {
        return Some(decision);
    }
    let Some((at, until)) = s.state.descent.filter(|(at, _)| *at == weight) else {
        let until = s.now().after(every);
        return Some(
            s.progress("the weight of the new release sinks", |state| state.descent = Some((weight, until))),
        );
    };
    if s.now() < until {
        return Some(s.wait_until(WaitReason::BetweenSteps, until));
    }
    let next = at.saturating_sub(u32::from(step.get()));
    let whole = s.tally(stable).verified >= s.replicas();
    if next == 0 || !whole {
        return None;
    }
    let weights = [(stable, 100 - next), (&s.state.candidate, next)];
    traffic::serve(s, &weights, &[], "the new release loses weight")
}
