//! What calls did to the numbers that count.

use deployer_core::{
    model::Timestamp,
    ports::{CallContext, Result},
};

use super::{CallKind, Population, state::State};

/// What one writing call changed, as the world knows it. The effect of `TrafficRouter::apply` comes when the data plane
/// follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// When.
    pub at: Timestamp,
    /// What travelled with the call.
    pub context: CallContext,
    /// Which kind of call.
    pub kind: CallKind,
    /// Just before.
    pub before: Population,
    /// Just after.
    pub after: Population,
}

impl State {
    /// Lets a call have its effect, and notes it.
    pub(super) fn noting_effect<T>(
        &mut self,
        kind: CallKind,
        context: &CallContext,
        act: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if kind == CallKind::Shift {
            return act(self);
        }
        let before = self.population(&context.workload);
        let result = act(self);
        let after = self.population(&context.workload);
        if before != after {
            self.effects.push(Effect { at: self.now, context: context.clone(), kind, before, after });
        }
        result
    }
}
