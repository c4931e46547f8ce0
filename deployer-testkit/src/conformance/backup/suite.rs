//! All checks of a backup provider.

use super::{BackupRig, creates, looks, prunes, refusals, restores, secrets};
use crate::conformance::{ConformanceReport, check::Suite};

/// Whether a backup provider keeps the contract of [`BackupProvider`](deployer_core::ports::BackupProvider): keys,
/// proofs, restores beside live data, retention. Each check has a stand of its own.
pub async fn backup(rig: &dyn BackupRig) -> ConformanceReport {
    let stand = rig.stand().await;
    let name = format!("{:?}", stand.provider());
    stand.clean_up().await;
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    let mut suite = Suite::new("BackupProvider", name, rig.patience() * 10);
    looks::run(&mut suite, rig).await;
    creates::run(&mut suite, rig).await;
    restores::run(&mut suite, rig).await;
    refusals::run(&mut suite, rig).await;
    prunes::run(&mut suite, rig).await;
    secrets::run(&mut suite, rig).await;
    suite.finish()
}
