//! Exhaustive check of the production strategies: every state that a rollout of a few instances can get into, with
//! crashes, faults and requests at every point, is visited, and every promise is checked in each.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "whether a few bytes go by value is for the compiler; methods of one type take `self` alike"
)]

mod catalog;
mod effect;
mod event;
mod expand;
mod lab;
mod liveness;
mod memos;
mod names;
mod nature;
mod oracle;
mod planted;
mod report;
mod run;
mod scenario;
mod search;
mod slot;
mod trace;
mod view;
mod world;

pub use lab::{Production, Stepper};
pub use report::{Caught, ModelReport};
pub use run::{check_all, check_planted, run};
pub use scenario::Limits;
pub use search::{Found, Violation};
