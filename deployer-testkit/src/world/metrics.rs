//! How well the sets of the world answer.

use std::time::Duration;

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::SetId,
    ports::{CallContext, Counts, MetricSource, Result},
};

use super::{CallKind, World, state::State};

/// How well the sets of a [`World`] answer: its requests a second, shared by weight, with the errors of the release's
/// [`Behaviour`](super::Behaviour).
#[derive(Debug)]
pub struct FakeMetrics {
    world: World,
}

impl FakeMetrics {
    pub(super) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl MetricSource for FakeMetrics {
    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts> {
        let what = format!("count requests of set {set}");
        let look = |state: &mut State| counts(state, context, set, interval);
        self.world.call(CallKind::Metrics, context, what, look).await
    }
}

fn counts(state: &State, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts> {
    if !state.sets_of(&context.workload).any(|(known, _)| known == set) {
        let what = format!("count requests of set {set}");
        return Err(BackendError::new(ErrorKind::NotFound, what, "nothing is known of it"));
    }
    let Some(traffic) = state.traffic.get(&context.workload) else { return Ok(Counts::default()) };
    let Some(since) = traffic.routed_since.get(set) else { return Ok(Counts::default()) };
    let millis = interval.min(state.now.since(*since)).as_millis();
    let weight = traffic.effective.share(set).map_or(0, |share| share.weight);
    let all = u128::from(traffic.effective.total_weight().max(1));
    let requests =
        millis * u128::from(state.settings.requests_per_second) * u128::from(weight) / (1000 * all);
    let behaviour = state.behaviours.get(&set.release()).copied().unwrap_or_default();
    let total = u64::try_from(requests).unwrap_or(u64::MAX);
    let bad = u64::try_from(requests * u128::from(behaviour.errors.get()) / 100).unwrap_or(u64::MAX);
    Ok(Counts { total, bad, p99_micros: (total > 0).then_some(2000) })
}
