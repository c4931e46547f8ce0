//! How sets answer, as nginx says.

mod live;

pub use live::LiveMetrics;
