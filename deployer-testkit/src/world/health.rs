//! Probes of the world.

use async_trait::async_trait;
use deployer_core::{
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

use super::{CallKind, World, state::State};

/// Probes the instances of a [`World`].
#[derive(Debug)]
pub struct FakeHealth {
    world: World,
}

impl FakeHealth {
    pub(super) fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl HealthCheck for FakeHealth {
    fn describe(&self) -> String {
        "asks the fake world".to_owned()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let what = format!("probe instance {}", instance.id);
        let look = |state: &mut State| Ok(probe(state, context, instance));
        match self.world.call(CallKind::Probe, context, what, look).await {
            Ok(probe) => probe,
            Err(error) => Probe::Unknown { why: error.report() },
        }
    }
}

fn probe(state: &State, context: &CallContext, instance: &Instance) -> Probe {
    let failed = |why: &str| Probe::Failed { why: why.to_owned() };
    let Some((_, found)) = state.find(&context.workload, &instance.id) else {
        return failed("connection refused");
    };
    if let Some(why) = state.unknown_places.get(&found.place) {
        return Probe::Unknown { why: why.clone() };
    }
    match () {
        () if !found.exists() || state.now < found.up_at => failed("connection refused"),
        () if instance.address.is_some_and(|address| address != found.address) => {
            failed("connection refused")
        }
        () if found.works(state.now) => Probe::Ok,
        () => failed("status 503"),
    }
}
