//! What a process may decide that was just started again.

use deployer_core::strategy::{Cause, Decision, Direction, Outcome, RolloutState};

use super::{super::world::World, Broken};

/// That nobody was there for a while is no reason to give up: it says nothing about the release.
pub(in super::super) fn resume(
    world: &World,
    state: &RolloutState,
    decision: &Decision,
) -> Result<(), Broken> {
    let gives_up = match decision {
        Decision::Finish(Outcome::Stuck { .. }) => true,
        Decision::Advance { state: new, .. } => {
            state.is_forward()
                && matches!(
                    new.direction,
                    Direction::Backward { cause: Cause::NoProgress { .. } | Cause::GateTimedOut { .. } }
                )
        }
        _ => false,
    };
    if world.resumed && gives_up {
        return Err(Broken::new("resume", "the time without a deployer counts as lack of progress"));
    }
    Ok(())
}
