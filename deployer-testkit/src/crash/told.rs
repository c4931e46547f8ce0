//! What the journal of a deployment tells after crashes.

use deployer_core::{
    event::{Event, EventKind},
    strategy::Outcome,
};

/// What the journal of a deployment tells after crashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How the deployment ended, if it did.
    pub outcome: Option<Outcome>,
    /// How often it was resumed.
    pub resumed: usize,
    /// What no journal may look like: there is one beginning, one end, and numbers without a gap.
    pub problems: Vec<String>,
}

impl Told {
    /// Reads the events of one deployment that was crashed at most so often.
    pub fn of(events: &[Event], crashes: usize) -> Self {
        let count = |is_it: fn(&EventKind) -> bool| events.iter().filter(|event| is_it(&event.kind)).count();
        let resumed = count(|kind| matches!(kind, EventKind::Resumed { .. }));
        let interrupted = count(|kind| matches!(kind, EventKind::Interrupted { .. }));
        let outcome = events.last().and_then(|event| match &event.kind {
            EventKind::DeploymentFinished { outcome } => Some(outcome.clone()),
            _ => None,
        });
        let laws = [
            (outcome.is_some(), "does not stop with an end"),
            (events.iter().zip(0..).all(|(event, number)| event.seq == number), "has gaps"),
            (count(|kind| matches!(kind, EventKind::DeploymentStarted { .. })) == 1, "has no one beginning"),
            (count(|kind| matches!(kind, EventKind::DeploymentFinished { .. })) <= 1, "has several ends"),
            (events.windows(2).all(|pair| pair[0].epoch <= pair[1].epoch), "goes back to an older epoch"),
            (resumed <= crashes + interrupted, "was resumed more often than it was stopped"),
        ];
        let broken = laws.into_iter().filter(|(holds, _)| !holds);
        Self { outcome, resumed, problems: broken.map(|(_, what)| format!("its journal {what}")).collect() }
    }
}
