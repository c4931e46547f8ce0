//! What came of crashes.

use std::fmt;

use super::CrashPoint;

/// What came of one run that was crashed, and went on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrashRun {
    /// Where it was crashed, one point for each time it was started.
    pub crashes: Vec<CrashPoint>,
    /// How many of them were reached. If it is not all of them the run shows nothing, which is a problem.
    pub reached: usize,
    /// How often it was resumed, as its journal says: not for a crash before its first record.
    pub resumed: usize,
    /// Points of the last start, which was not crashed.
    pub rest: Vec<CrashPoint>,
    /// All that is not as it would have been without the crashes.
    pub problems: Vec<String>,
}

impl fmt::Display for CrashRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crashes: Vec<_> = self.crashes.iter().map(ToString::to_string).collect();
        write!(f, "crashed at {}: ", crashes.join(", then "))?;
        if self.problems.is_empty() {
            return write!(f, "the same end");
        }
        write!(f, "{}", self.problems.join("; "))
    }
}
