//! What is needed to test what is built on `deployer`: a fake world, ports that fail on purpose, crashes, a load generator, a
//! demo application, and an exhaustive check of strategies.

pub mod app;
pub mod cases;
mod clock;
pub mod conformance;
pub mod crash;
pub mod example;
pub mod inject;
pub mod load;
pub mod model;
pub mod simulate;
pub mod world;

pub use clock::TestClock;
