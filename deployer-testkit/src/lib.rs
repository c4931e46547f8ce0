//! What is needed to test what is built on `deployer`: a fake world, a load generator and a demo application.

pub mod app;
pub mod cases;
mod clock;
pub mod load;
pub mod world;

pub use clock::TestClock;
