//! Where in a run a crash happens.

use std::{fmt, str::FromStr};

use crate::inject::{PortCall, PortKind};

/// When in a call a crash happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before it is made: it has no effect.
    Before,
    /// It has had its effect, and the caller does not know.
    Inside,
    /// The caller has the answer, and has made no further call. A record that is durable is followed by nothing but a
    /// further call, so for records this is the moment at which they are durable.
    After,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Inside, Self::After];
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Inside => "inside",
            Self::After => "after",
        })
    }
}

/// Where in a run a crash happens. As text it is `advanced#3.before`, `shift#1.inside` and so on.
///
/// ```
/// use deployer_testkit::crash::{CrashPoint, Moment};
///
/// let point: CrashPoint = "apply#2.inside".parse()?;
/// assert_eq!((point.kind.as_str(), point.number, point.moment), ("apply", 2, Moment::Inside));
/// # Ok::<(), deployer_testkit::crash::NotAPoint>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrashPoint {
    /// The kind of a record as it stands in the journal, or `prepare`, `apply`, `remove` or `shift`; of stages of one's own
    /// `stage` or `undo`.
    pub kind: String,
    /// Its number among the calls of this kind in one run, from 1.
    pub number: u64,
    /// When in this call.
    pub moment: Moment,
}

impl CrashPoint {
    /// A point.
    pub fn new(kind: impl Into<String>, number: u64, moment: Moment) -> Self {
        Self { kind: kind.into(), number, moment }
    }

    /// Whether it is an effect on target or router, rather than a record.
    pub fn is_effect(&self) -> bool {
        EFFECTS.contains(&self.kind.as_str())
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}.{}", self.kind, self.number, self.moment)
    }
}

/// A text that names no point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no point of a run; use KIND#NUMBER.MOMENT, such as apply#2.inside")]
pub struct NotAPoint(String);

impl FromStr for CrashPoint {
    type Err = NotAPoint;

    fn from_str(text: &str) -> Result<Self, NotAPoint> {
        let wrong = || NotAPoint(text.to_owned());
        let (kind, rest) = text.split_once('#').ok_or_else(wrong)?;
        let (number, moment) = rest.split_once('.').ok_or_else(wrong)?;
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let moment = Moment::ALL.into_iter().find(|known| known.to_string() == moment).ok_or_else(wrong)?;
        if kind.is_empty() || !kind.bytes().all(is_word) || number == 0 {
            return Err(wrong());
        }
        Ok(Self::new(kind, number, moment))
    }
}

/// Kinds of effects.
const EFFECTS: [&str; 6] = ["prepare", "apply", "remove", "shift", "stage", "undo"];

/// The kind of a call, if it writes to journal, target or router, or is the work or the undo of a stage of one's own;
/// `None` for one that only looks, and for locks.
pub fn kind_of(call: &PortCall) -> Option<&str> {
    match (call.port, call.operation) {
        (PortKind::Journal, "create" | "append") => Some(&call.about),
        (PortKind::Target, operation @ ("prepare" | "apply" | "remove"))
        | (PortKind::Stage, operation @ ("stage" | "undo")) => Some(operation),
        (PortKind::Router, "apply") => Some("shift"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_written_and_read() {
        for moment in Moment::ALL {
            let point = CrashPoint::new("rollout_started", 12, moment);
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        for wrong in
            ["", "apply", "apply#1", "apply#0.inside", "apply#x.inside", "#1.inside", "Apply#1.inside"]
        {
            assert!(wrong.parse::<CrashPoint>().is_err(), "{wrong}");
        }
    }
}
