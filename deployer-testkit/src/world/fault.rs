//! What goes wrong at which call.

use deployer_core::error::ErrorKind;

use super::{CallKind, random::Random};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is not done and says so.
    Fail(ErrorKind),
    /// It is done, and the answer is lost: the caller sees `TimedOut`.
    DropAnswer,
    /// It is not done and never returns.
    Hang,
    /// It is done and never returns.
    DoAndHang,
}

impl Fault {
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::DropAnswer | Self::DoAndHang)
    }
}

/// A fault at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlannedFault {
    /// At which kind of call.
    pub kind: CallKind,
    /// At which call of this kind, from 1.
    pub number: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// How many of a thousand calls go wrong by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FaultRates {
    /// With `Unavailable`, without effect.
    pub fail: u16,
    /// With effect and without an answer.
    pub drop_answer: u16,
    /// Hanging, with and without effect in turn.
    pub hang: u16,
}

/// Planned and random faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) planned: Vec<PlannedFault>,
    pub(super) rates: FaultRates,
}

impl Faults {
    /// The fault of this call. A planned one is taken out of the plan.
    pub(super) fn take(&mut self, kind: CallKind, number: u64, random: &mut Random) -> Option<Fault> {
        if let Some(index) = self.planned.iter().position(|plan| (plan.kind, plan.number) == (kind, number)) {
            return Some(self.planned.swap_remove(index).fault);
        }
        let FaultRates { fail, drop_answer, hang } = self.rates;
        let (fail, drop_answer, hang) = (u64::from(fail), u64::from(drop_answer), u64::from(hang));
        if fail + drop_answer + hang == 0 {
            return None;
        }
        match random.below(1000) {
            lot if lot < fail => Some(Fault::Fail(ErrorKind::Unavailable)),
            lot if lot < fail + drop_answer => Some(Fault::DropAnswer),
            lot if lot < fail + drop_answer + hang => {
                Some(if lot % 2 == 0 { Fault::Hang } else { Fault::DoAndHang })
            }
            _ => None,
        }
    }
}
