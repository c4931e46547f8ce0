//! Switches without a reload: nginx itself holds the split, in memory that its workers share, and picks a member for
//! each request with a little Lua.

mod accepted;
mod check;
mod files;
mod router;
mod store;
mod wire;

pub(crate) use files::{LUA, control, http, location};
pub use router::LiveRouter;
