//! Requests in flight.

use deployer_core::model::{InFlight, Member};

use super::{
    rig::RouterRig,
    stage::{Stage, all_to, on},
};
use crate::conformance::{
    check::{Check, Checked, Suite, ensure, ensure_eq, not_applicable, until},
    scope,
};

const ORDER: Check = Check {
    name: "in-flight-answers-for-each-member",
    proves: "`in_flight` answers for the members in the order in which they were named, those out of the split too; \
             `Unknown` where the router cannot count",
    matters: "an instance that is busy is stopped in the name of one that is idle; a zero that is a guess ends every \
              drain at once",
};

const COUNTS: Check = Check {
    name: "a-request-is-counted-until-it-ends",
    proves: "`counts_in_flight`: a request is counted while it is answered, also when its member has left the split, and \
             then no longer",
    matters: "a drain that ends too early cuts requests; one that never ends makes every rollout wait for its deadline",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn RouterRig) {
    on(suite, rig, ORDER, order).await;
    on(suite, rig, COUNTS, counts).await;
}

async fn in_flight(stage: &Stage<'_>, members: &[Member]) -> Checked<Vec<InFlight>> {
    let context = stage.context();
    let call = stage.router.in_flight(&context, members);
    let counts = scope::works("in_flight", stage.rig.patience(), call).await?;
    ensure_eq("number of answers", &counts.len(), &members.len())?;
    Ok(counts)
}

async fn order(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 1).await);
    stage.switch(&all_to("v1", &old)).await?;
    let all = [new, old].concat();
    let counts = in_flight(stage, &all).await?;
    let can = stage.capabilities().counts_in_flight;
    let right = counts.iter().all(|count| matches!(count, InFlight::Known(_)) == can);
    ensure(
        right,
        || format!("{counts:?}"),
        if can { "three known counts" } else { "`Unknown` three times" },
    )?;
    ensure_eq("answers for nobody", &in_flight(stage, &[]).await?, &Vec::new())
}

async fn counts(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().counts_in_flight {
        return Err(not_applicable("it does not claim `counts_in_flight`"));
    }
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    stage.switch(&all_to("v1", &old)).await?;
    let held = scope::within("a request", stage.rig.patience(), stage.rig.hold(&stage.workload)).await?;
    let Some(held) = held else {
        return Err(not_applicable("the rig cannot send a request that lasts"));
    };
    ensure_eq("who answers", &held.by(), &old[0].instance)?;
    let members = [old, new].concat();
    reads(stage, &members, [1, 0]).await?;
    stage.switch(&all_to("v2", &members[1..])).await?;
    reads(stage, &members, [1, 0]).await?;
    drop(held);
    reads(stage, &members, [0, 0]).await
}

async fn reads(stage: &Stage<'_>, members: &[Member], wanted: [u32; 2]) -> Checked {
    let wanted = wanted.map(InFlight::Known).to_vec();
    until(stage.rig.patience(), &format!("{wanted:?}"), async || {
        let counts = in_flight(stage, members).await?;
        Ok(if counts == wanted { Ok(()) } else { Err(format!("{counts:?}")) })
    })
    .await
}
