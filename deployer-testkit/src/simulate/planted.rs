//! stub
use std::sync::Arc;
use deployer_core::{ports::{Target,TrafficRouter,HealthCheck,Journal,Lock}, strategy::Strategy};
use super::{clock::VirtualClock, scenario::Step, witness_target::WitnessTarget, witness_router::WitnessRouter, witness_health::WitnessHealth, journal::WitnessJournal, lock::WitnessLock};
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted { A }
impl Planted {
    pub(super) fn strategy(_p: Option<Self>, step: &Step) -> Arc<dyn Strategy> { step.strategy() }
    pub(super) fn target(_p: Option<Self>, t: WitnessTarget, _c: &VirtualClock) -> Arc<dyn Target> { Arc::new(t) }
    pub(super) fn router(_p: Option<Self>, t: WitnessRouter) -> Arc<dyn TrafficRouter> { Arc::new(t) }
    pub(super) fn health(_p: Option<Self>, t: WitnessHealth) -> Arc<dyn HealthCheck> { Arc::new(t) }
    pub(super) fn journal(_p: Option<Self>, t: WitnessJournal) -> Arc<dyn Journal> { Arc::new(t) }
    pub(super) fn lock(_p: Option<Self>, t: WitnessLock) -> Arc<dyn Lock> { Arc::new(t) }
}
impl Planted { pub(super) const ALL: [Self;1]=[Self::A]; pub(super) fn name(self)->&'static str{"a"} }
