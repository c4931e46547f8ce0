//! Crashes at named points: before and after each record of the journal, before, inside of and after each effect on
//! target and router.
//!
//! [`Explorer`] finds all points of a deployment that a test describes as a [`CrashScene`], crashes it at one or several
//! of them, lets it go on, and says what is not as it would have been. [`CrashAt`] alone is the injector for a test that
//! kills its own process. Strategies, targets, routers and journals of users are tested in the same way as the
//! built-in ones.

mod at;
mod explorer;
mod point;
mod run;
mod scene;
mod told;
mod trail;

pub use at::CrashAt;
pub use explorer::Explorer;
pub use point::{CrashPoint, Moment, NotAPoint, kind_of};
pub use run::CrashRun;
pub use scene::CrashScene;
pub use told::Told;
pub use trail::Trail;
