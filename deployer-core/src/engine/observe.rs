//! Looking at the world.

use std::collections::BTreeMap;

use super::{
    assemble::{Look, in_rotation},
    call::within,
    memory::{Memory, Remembered},
    parts::RolloutParts,
};
use crate::{
    model::{
        InFlight, InstanceId, InstancePhase, Member, SetId, Split, Timestamp, TrafficView, WorkloadView,
    },
    ports::{CallContext, TrafficRouter},
    strategy::Seen,
};

/// Looks at target and router at once, and then at the requests that leaving instances still answer. A backend that
/// does not answer is unknown; looking again is for the loop.
pub(super) async fn look(
    parts: &RolloutParts,
    context: &CallContext,
    memory: &mut Memory,
    stable: Option<&SetId>,
) -> (Look, Timestamp) {
    let (target, traffic) = tokio::join!(look_at_target(parts, context), look_at_router(parts, context));
    let now = parts.tools.clock.now();
    let mut look = Look { target, traffic, in_flight: BTreeMap::new() };
    if let Seen::Known(view) = &look.target {
        memory.take_in(view, now);
    }
    let Some(router) = &parts.router else {
        memory.trust_those_that_serve(&look, stable, false);
        return (look, now);
    };
    let capabilities = router.capabilities();
    memory.trust_those_that_serve(&look, stable, !capabilities.members);
    if let (Some(Seen::Known(view)), true) = (&look.traffic, capabilities.counts_in_flight) {
        match count_in_flight(parts, &**router, context, memory, &view.split, !capabilities.members).await {
            Ok(counts) => look.in_flight = counts,
            // "Not counted" would be read as "cannot be counted", and that ends a drain.
            Err(why) => look.traffic = Some(Seen::Unknown { why }),
        }
    }
    (look, parts.tools.clock.now())
}

async fn look_at_target(parts: &RolloutParts, context: &CallContext) -> Seen<WorkloadView> {
    let operation = format!("observe {} at {}", context.workload, parts.target.name());
    let call = parts.target.observe(context);
    within(&*parts.tools.clock, parts.tools.engine.call_deadline, &operation, call)
        .await
        .map_or_else(|error| Seen::Unknown { why: error.report() }, Seen::Known)
}

async fn look_at_router(parts: &RolloutParts, context: &CallContext) -> Option<Seen<TrafficView>> {
    let router = parts.router.as_ref()?;
    let operation = format!("ask {} for the traffic of {}", router.name(), context.workload);
    let call = router.current(context);
    let view = within(&*parts.tools.clock, parts.tools.engine.call_deadline, &operation, call).await;
    Some(view.map_or_else(|error| Seen::Unknown { why: error.report() }, Seen::Known))
}

async fn count_in_flight(
    parts: &RolloutParts,
    router: &dyn TrafficRouter,
    context: &CallContext,
    memory: &Memory,
    split: &Split,
    whole_sets: bool,
) -> Result<BTreeMap<InstanceId, InFlight>, String> {
    let left = |remembered: &&Remembered| {
        matches!(remembered.instance.phase, InstancePhase::Running { .. } | InstancePhase::Stopping { .. })
            && !in_rotation(split, remembered, whole_sets)
    };
    let members: Vec<Member> = memory
        .instances
        .values()
        .filter(left)
        .map(|remembered| Member {
            instance: remembered.instance.id.clone(),
            address: remembered.instance.address,
        })
        .collect();
    if members.is_empty() {
        return Ok(BTreeMap::new());
    }
    let operation = format!("ask {} for requests in flight", router.name());
    let call = router.in_flight(context, &members);
    let counts = within(&*parts.tools.clock, parts.tools.engine.call_deadline, &operation, call)
        .await
        .map_err(|error| error.report())?;
    if counts.len() != members.len() {
        return Err(format!("{operation}: {} answers for {} members", counts.len(), members.len()));
    }
    Ok(members.into_iter().map(|member| member.instance).zip(counts).collect())
}
