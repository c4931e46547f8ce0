//! Gates: a person, a smoke check, the error rate, a closure.
//!
//! All gates agree on what they know: what could not be found out is
//! [`Unknown`](crate::strategy::Verdict::Unknown), never a pass, and no data is not the same as no errors.

mod answer;
mod approval;
mod error_rate;
mod error_rate_settings;
mod evidence;
mod function;
mod smoke;
#[cfg(test)]
pub(crate) mod tests_support;

pub use approval::{Approval, ApprovalError, Approver, Question};
pub use error_rate::ErrorRate;
pub use error_rate_settings::{Comparison, ErrorRateSettings};
pub use function::{FnGate, gate_fn};
pub use smoke::SmokeCheck;
