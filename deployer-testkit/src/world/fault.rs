//! What goes wrong at which call.

use std::collections::BTreeMap;

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
    fn name(self) -> &'static str {
        match self {
            Self::Fail(ErrorKind::PermissionDenied) => "call refused",
            Self::Fail(_) => "call failed",
            Self::DropAnswer => "answer lost",
            Self::Hang => "call hung",
            Self::DoAndHang => "call done and hung",
        }
    }

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
    /// Refused for good, without effect.
    pub refuse: u16,
}

/// Planned and random faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) planned: Vec<PlannedFault>,
    pub(super) rates: FaultRates,
    /// Rates of single kinds of calls, instead of the general ones.
    pub(super) rates_of: BTreeMap<CallKind, FaultRates>,
    /// How often which fault happened.
    pub(super) happened: BTreeMap<&'static str, u64>,
}

impl Faults {
    /// The fault of this call. A planned one is taken out of the plan.
    pub(super) fn take(&mut self, kind: CallKind, number: u64, random: &mut Random) -> Option<Fault> {
        let planned = self.planned.iter().position(|plan| (plan.kind, plan.number) == (kind, number));
        let fault = match planned {
            Some(index) => Some(self.planned.swap_remove(index).fault),
            None => self.by_chance(kind, random),
        };
        if let Some(fault) = fault {
            *self.happened.entry(fault.name()).or_default() += 1;
        }
        fault
    }

    fn by_chance(&self, kind: CallKind, random: &mut Random) -> Option<Fault> {
        let rates = self.rates_of.get(&kind).unwrap_or(&self.rates);
        let [fail, drop_answer, hang, refuse] =
            [rates.fail, rates.drop_answer, rates.hang, rates.refuse].map(u64::from);
        if fail + drop_answer + hang + refuse == 0 {
            return None;
        }
        match random.below(1000) {
            lot if lot < fail => Some(Fault::Fail(ErrorKind::Unavailable)),
            lot if lot < fail + drop_answer => Some(Fault::DropAnswer),
            lot if lot < fail + drop_answer + hang => {
                Some(if lot % 2 == 0 { Fault::Hang } else { Fault::DoAndHang })
            }
            lot if lot < fail + drop_answer + hang + refuse => Some(Fault::Fail(ErrorKind::PermissionDenied)),
            _ => None,
        }
    }
}
