//! Who may write to a workload.

use deployer_core::{
    error::ErrorKind,
    model::{Epoch, WorkloadId},
};

use super::state::SavedWorkload;
use crate::protocol::Refusal;

/// Refuses an epoch older than the largest seen, and remembers a larger one. The caller saves before any effect.
pub(crate) fn admit(id: &WorkloadId, workload: &mut SavedWorkload, epoch: Epoch) -> Result<(), Refusal> {
    if epoch < workload.epoch {
        let message = format!(
            "epoch {epoch} of workload {id} is over, {} was seen; another deployment took over",
            workload.epoch
        );
        return Err(Refusal::new(ErrorKind::Conflict, message));
    }
    workload.epoch = epoch;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_refused_for_ever() {
        let id = WorkloadId::new("web").unwrap();
        let mut workload = SavedWorkload::default();
        for (epoch, ok) in [(0, true), (3, true), (2, false), (3, true), (4, true), (3, false)] {
            assert_eq!(admit(&id, &mut workload, Epoch(epoch)).is_ok(), ok, "epoch {epoch}");
        }
    }
}
