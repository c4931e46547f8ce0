//! The last stretch, which strategies share: all traffic on the new set, bake time, retirement of the old.

use std::time::Duration;

use super::{
    Decision, Outcome, Phase, Situation, WaitReason,
    exchange::{Exchange, exchange},
    gate, provision, traffic,
};
use crate::model::AttachPoint;

/// Before anything new: leftovers of earlier rollouts are retired and the old set has its size.
pub(super) fn clean(s: &Situation<'_>) -> Option<Decision> {
    let stable = s.state.stable.as_ref()?;
    let tally = s.tally(stable);
    let serves = s.traffic().is_some_and(|traffic| traffic.split.share(&s.state.candidate).is_some());
    let superfluous = s.leftovers().next().is_some() || tally.size > s.replicas();
    if tally.verified == 0 {
        return None;
    }
    if superfluous && !serves {
        return exchange(s, Exchange { to: stable, goal: s.replicas(), spare: Some(&s.state.candidate) });
    }
    let scaled = s.state.replicas != s.plan.replicas && tally.size < s.replicas();
    if scaled { provision::provision(s, stable, s.replicas()) } else { None }
}

/// All traffic to the new set, proven, its gates passed; then the bake time begins.
pub(super) fn take_all_traffic(s: &Situation<'_>, bake: Duration) -> Decision {
    let n = s.replicas();
    let candidate = &s.state.candidate;
    let bake = if s.plan.returning || s.state.promoted_fully { Duration::ZERO } else { bake };
    provision::provision(s, candidate, n)
        .or_else(|| {
            traffic::serve(
                s,
                &[(candidate, n)],
                &[],
                "the new set is whole and verified: it takes all traffic",
            )
        })
        .or_else(|| traffic::proven(s))
        .or_else(|| gate::pass(s, AttachPoint::FullTraffic, 0))
        .unwrap_or_else(|| s.bake(bake, "the new set carries all traffic; the old one is kept warm"))
}

/// Watches the new set with the old one warm; then commits to it.
pub(super) fn bake(s: &Situation<'_>) -> Decision {
    traffic::serve(s, &[(&s.state.candidate, s.replicas())], &[], "members changed")
        .or_else(|| gate::pass(s, AttachPoint::Bake, 0))
        .or_else(|| s.wait_for_bake(WaitReason::Baking))
        .or_else(|| provision::provision(s, &s.state.candidate, s.replicas()))
        .unwrap_or_else(|| s.enter(Phase::Retiring, "the new release is it: retire the old set"))
}

/// Drains and removes everything but the new set.
pub(super) fn retire(s: &Situation<'_>) -> Decision {
    exchange(s, Exchange { to: &s.state.candidate, goal: s.replicas(), spare: None })
        .unwrap_or(Decision::Finish(Outcome::Succeeded))
}

/// The last stretch where no old set is left: watched for a while, judged, and then it is the end.
pub(super) fn watch(s: &Situation<'_>, time: Duration, why: &'static str) -> Decision {
    if s.state.phase != Phase::Baking {
        return s.bake(time, why);
    }
    gate::pass(s, AttachPoint::FullTraffic, 0)
        .or_else(|| gate::pass(s, AttachPoint::Bake, 0))
        .or_else(|| s.wait_for_bake(WaitReason::Baking))
        .unwrap_or(Decision::Finish(Outcome::Succeeded))
}
