//! Who gets which requests in the world.

use std::collections::BTreeSet;

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{InFlight, Member, RouteMatch, RouterCapabilities, Split, TrafficView},
    ports::{CallContext, Changes, Result, TrafficRouter},
};

use super::{
    CallKind, World,
    state::{State, fence},
};

/// Who gets which requests in a [`World`].
#[derive(Debug)]
pub struct FakeRouter {
    world: World,
    capabilities: RouterCapabilities,
}

impl FakeRouter {
    pub(super) fn new(world: World) -> Self {
        let capabilities = world.state.lock().settings.router.clone();
        Self { world, capabilities }
    }
}

#[async_trait]
impl TrafficRouter for FakeRouter {
    fn name(&self) -> &'static str {
        "fake router"
    }

    fn capabilities(&self) -> RouterCapabilities {
        self.capabilities.clone()
    }

    async fn apply(&self, context: &CallContext, split: &Split) -> Result<()> {
        let what = describe(split);
        let act = |state: &mut State| shift(state, context, split);
        self.world.call(CallKind::Shift, context, what, act).await
    }

    async fn current(&self, context: &CallContext) -> Result<TrafficView> {
        let what = format!("look at the traffic of {}", context.workload);
        let look = |state: &mut State| {
            let (now, proves) = (state.now, state.settings.router.proves);
            Ok(state.traffic.entry(context.workload.clone()).or_default().view(now, proves))
        };
        self.world.call(CallKind::Current, context, what, look).await
    }

    async fn in_flight(&self, context: &CallContext, members: &[Member]) -> Result<Vec<InFlight>> {
        let what = format!("count requests of {} members", members.len());
        let look =
            |state: &mut State| Ok(members.iter().map(|member| in_flight(state, context, member)).collect());
        self.world.call(CallKind::InFlight, context, what, look).await
    }

    async fn watch(&self, context: &CallContext) -> Result<Changes> {
        let what = format!("watch the traffic of {}", context.workload);
        let hints = self.world.hints();
        self.world.call(CallKind::WatchRouter, context, what, |_| Ok(hints)).await
    }
}

fn describe(split: &Split) -> String {
    match split {
        Split::Maintenance(_) => "answer with the maintenance page".to_owned(),
        Split::Serve { shares, .. } => {
            let shares =
                shares.iter().map(|share| format!("{}={}x{}", share.set, share.weight, share.members.len()));
            format!("send traffic to {}", shares.collect::<Vec<_>>().join(" "))
        }
    }
}

fn shift(state: &mut State, context: &CallContext, split: &Split) -> Result<()> {
    let what = describe(split);
    fence(&mut state.router_epochs, state.settings.router.fences, context, &what)?;
    if let Some(problem) = inexpressible(&state.settings.router, split) {
        return Err(BackendError::new(ErrorKind::InvalidInput, what, problem));
    }
    let takes = state.settings.switch.draw(&mut state.random);
    let (now, effective_at) = (state.now, state.now.after(takes));
    let traffic = state.traffic.entry(context.workload.clone()).or_default();
    traffic.accept(split, effective_at);
    traffic.by = Some(context.clone());
    if traffic.effective_at <= now && traffic.effective != traffic.accepted {
        state.follow(&context.workload);
    }
    Ok(())
}

/// Why a router with these capabilities cannot do this, if it cannot.
fn inexpressible(router: &RouterCapabilities, split: &Split) -> Option<String> {
    let Split::Serve { shares, routes } = split else {
        return (!router.maintenance).then(|| "it has no maintenance page".to_owned());
    };
    let sets: BTreeSet<_> = shares.iter().map(|share| &share.set).collect();
    if sets.len() < shares.len() {
        return Some("a set has two shares".to_owned());
    }
    if let Some(route) = routes.iter().find(|route| !sets.contains(&route.set)) {
        return Some(format!("a route leads to set {}, which has no share", route.set));
    }
    let header = |matches: &RouteMatch| matches!(matches, RouteMatch::Header { .. });
    if !router.header_routes && routes.iter().any(|route| header(&route.matches)) {
        return Some("it has no routes by header".to_owned());
    }
    if !router.cookie_routes && routes.iter().any(|route| !header(&route.matches)) {
        return Some("it has no routes by cookie".to_owned());
    }
    // Evenly over all members is what every router can do.
    let parts = |share: &deployer_core::model::Share| (u64::from(share.weight), share.members.len() as u64);
    let weighted: Vec<_> = shares.iter().map(parts).filter(|(weight, _)| *weight > 0).collect();
    let even = weighted.windows(2).all(|pair| pair[0].0 * pair[1].1 == pair[1].0 * pair[0].1);
    (!router.weights && !even).then(|| "it has no weights".to_owned())
}

fn in_flight(state: &State, context: &CallContext, member: &Member) -> InFlight {
    if !state.settings.router.counts_in_flight {
        return InFlight::Unknown;
    }
    let (now, level, request) = (state.now, state.settings.in_flight, state.settings.request);
    let found = state.find(&context.workload, &member.instance);
    InFlight::Known(found.map_or(0, |(_, instance)| instance.in_flight(now, level, request)))
}
