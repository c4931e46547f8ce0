//! Which backups may go.

use crate::{
    model::BackupKey,
    ports::{Backup, VerifyLevel},
};

/// Of these, oldest first, all but the newest `keep`, the referenced ones, and the one to fall back on: the newest that
/// is proven good, or the newest at all if none is.
pub(super) fn to_remove(backups: &[Backup], keep: u32, referenced: &[BackupKey]) -> Vec<Backup> {
    let good = |backup: &&Backup| backup.verified.is_some_and(VerifyLevel::is_proof);
    let last = backups.iter().rev().find(good).or(backups.last()).map(|backup| &backup.key);
    let old = backups.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    backups[..old]
        .iter()
        .filter(|backup| Some(&backup.key) != last && !referenced.contains(&backup.key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{model::Timestamp, ports::BackupSource};

    fn backup(number: usize, verified: Option<VerifyLevel>) -> Backup {
        let moment = Timestamp::from_millis(number as u64);
        Backup {
            key: BackupKey::new(format!("b{number}")).unwrap(),
            reason: String::new(),
            as_of: moment,
            created_at: moment,
            bytes: 1,
            checksum: String::new(),
            source: BackupSource { kind: "file".into(), identity: "x".into() },
            details: std::collections::BTreeMap::default(),
            verified,
        }
    }

    fn level() -> impl Strategy<Value = Option<VerifyLevel>> {
        prop_oneof![
            Just(None),
            Just(Some(VerifyLevel::Exists)),
            Just(Some(VerifyLevel::Checksum)),
            Just(Some(VerifyLevel::Restored)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_needed_stays_and_the_rest_goes(
            levels in prop::collection::vec((level(), any::<bool>()), 0..12),
            keep in 0_u32..14,
        ) {
            let backups: Vec<_> =
                levels.iter().enumerate().map(|(number, (level, _))| backup(number, *level)).collect();
            let referenced: Vec<_> = backups
                .iter()
                .zip(&levels)
                .filter(|(_, (_, referenced))| *referenced)
                .map(|(backup, _)| backup.key.clone())
                .collect();
            let removed = to_remove(&backups, keep, &referenced);
            let stay: Vec<_> = backups.iter().filter(|backup| !removed.contains(backup)).collect();

            prop_assert!(removed.iter().all(|backup| !referenced.contains(&backup.key)));
            let proven = |backup: &&Backup| backup.verified >= Some(VerifyLevel::Checksum);
            prop_assert_eq!(backups.iter().rev().find(proven), stay.iter().copied().rev().find(|one| proven(one)));
            prop_assert_eq!(stay.is_empty(), backups.is_empty());
            let newest = backups.iter().rev().take(keep as usize);
            prop_assert!(newest.clone().all(|backup| stay.contains(&backup)));
            // Nothing stays without a reason.
            let reasons = keep as usize + referenced.len() + 1;
            prop_assert!(stay.len() <= reasons, "{} stay for {reasons} reasons", stay.len());
            // The same again removes nothing more.
            let stay: Vec<_> = stay.into_iter().cloned().collect();
            prop_assert_eq!(to_remove(&stay, keep, &referenced), vec![]);
        }
    }
}
