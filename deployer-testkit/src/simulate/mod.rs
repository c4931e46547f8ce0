//! Deployments by the thousand, each with other faults: the production engine, codec and hash chain in the fake world,
//! in virtual time, judged by oracles that know nothing of how it decides. One seed is one whole story and can be told
//! again, line by line.

mod broken;
mod chaos;
mod clock;
mod draw;
mod fingerprint;
mod gate;
mod journal;
mod lock;
mod oracle;
mod person;
mod planted;
mod planted_journal;
mod planted_router;
mod planted_strategy;
mod planted_target;
mod rates;
mod record;
mod scenario;
mod seed;
mod swarm;
mod witness;
mod witness_health;
mod witness_router;
mod witness_target;

pub use broken::Broken;
pub use seed::{SeedReport, play};
pub use swarm::{CaughtBug, SwarmReport, planted, swarm};
