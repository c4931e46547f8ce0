//! A world in memory for tests of engines and strategies: instances that start, fail and stop, a router whose data
//! plane lags behind, probes, metrics, planned faults, and a record of everything for oracles. It keeps the contracts
//! of the ports and is deterministic: the same seed and the same calls give the same world.

mod call;
mod census;
mod disturb;
mod effect;
mod fault;
mod handle;
mod health;
mod incident;
mod instance;
mod metrics;
mod population;
pub(crate) mod random;
mod router;
mod settings;
mod state;
mod target;
mod traffic;

pub use call::{Call, CallKind, CallOutcome};
pub use census::SetCount;
pub use disturb::Doubt;
pub use effect::Effect;
pub use fault::{Fault, FaultRates, PlannedFault};
pub use handle::{Labels, Orphan, World};
pub use health::FakeHealth;
pub use incident::{Incident, IncidentKind};
pub use metrics::FakeMetrics;
pub use population::{Extremes, Population};
pub use router::FakeRouter;
pub use settings::{Behaviour, Latency, WorldSettings};
pub use target::FakeTarget;
