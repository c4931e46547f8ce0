//! Journals of real runs, mutilated, and the same deployment again over the same world: it ends as it should, or it is
//! refused by name before any effect.

use std::{fs, path::Path, time::Duration};

use deployer::{
    error::DeployError,
    event::EventKind,
    model::DeploymentId,
    ports::{Journal as _, JournalError},
};
use deployer_testkit::cases::say;

use crate::stand::{Kind, Stand, clear, directory, lines, virtually};

/// After how much virtual time the second release is interrupted: preparing, in the middle, near its end. The last one
/// is after its end.
const MOMENTS: [u64; 4] = [900, 4_000, 9_000, 3_600_000];

/// A world in which `d2` was interrupted, or ended.
async fn interrupted(directory: &Path, kind: Kind, moment: u64, bad: bool) -> Stand {
    clear(directory);
    let stand = Stand::serving(directory, kind).await;
    if bad {
        stand.spoil_v2();
    }
    stand.interrupted_after(Duration::from_millis(moment)).await;
    stand
}

async fn ends_as_it_should(stand: &Stand, bad: bool, what: &str) {
    match stand.deployment("v2").build().unwrap().run().await {
        Ok(_) if !bad => stand.assert_live("v2", what),
        Err(DeployError::RolledBack { .. }) if bad => stand.assert_live("v1", what),
        other => panic!("{what}: {other:?}"),
    }
}

pub(crate) fn cut_anywhere_it_ends_as_it_should() {
    let directory = directory();
    let place = directory.path();
    let (mut runs, mut cuts) = (0, 0);
    for kind in Kind::ALL {
        for (moment, bad) in [(4_000, false), (9_000, true)] {
            let bytes = virtually(async || {
                let stand = interrupted(place, kind, moment, bad).await;
                let bytes = fs::read(stand.file("d2")).unwrap();
                cuts += every_byte(&stand, &bytes).await;
                bytes
            });
            let mut end = 0;
            for (record, line) in lines(&bytes).into_iter().enumerate() {
                end += line.len();
                // As if it had never begun, torn in its first byte, and all of it but the line feed.
                for length in [end - line.len(), end - line.len() + 1, end - 1] {
                    virtually(async || {
                        let stand = interrupted(place, kind, moment, bad).await;
                        fs::write(stand.file("d2"), &bytes[..length]).unwrap();
                        let what = format!("{kind:?}, bad {bad}, cut in record {record} at byte {length}");
                        ends_as_it_should(&stand, bad, &what).await;
                    });
                    runs += 1;
                }
            }
        }
    }
    say(&format!("    {cuts} cuts read, {runs} whole deployments after a cut"));
}

/// Cut at any byte, a journal is what was whole before.
async fn every_byte(stand: &Stand, bytes: &[u8]) -> usize {
    let (journal, all) = (stand.journal(), stand.events("d2").await);
    let (path, id) = (stand.file("d2"), DeploymentId::new("d2").unwrap());
    // Reading costs more than that for long ones, so their cuts are a fixed distance apart.
    let stride = (bytes.len() / 1500).max(1);
    for length in (0..bytes.len()).step_by(stride) {
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = lines(&bytes[..length]).iter().filter(|line| line.ends_with(b"\n")).count();
        match journal.load(&id).await {
            Ok(events) => assert_eq!(events, all[..whole], "cut at byte {length}"),
            Err(JournalError::NotFound(_)) => assert_eq!(whole, 0, "cut at byte {length}"),
            Err(other) => panic!("cut at byte {length}: {other}"),
        }
    }
    bytes.len().div_ceil(stride)
}

pub(crate) fn a_flipped_bit_is_refused_by_name_before_any_effect() {
    let directory = directory();
    let mut flips = 0;
    for kind in Kind::ALL {
        for moment in MOMENTS {
            virtually(async || {
                let stand = interrupted(directory.path(), kind, moment, false).await;
                let path = stand.file("d2");
                let bytes = fs::read(&path).unwrap();
                // All bits of the shortest, a fixed sample of the others: a prime, so that all fields are hit.
                let stride = if moment == MOMENTS[0] && kind == Kind::Rolling { 13 } else { 997 };
                for at in (0..bytes.len() * 8).step_by(stride) {
                    let (place, bit) = (at / 8, at % 8);
                    if place == bytes.len() - 1 {
                        continue;
                    }
                    let mut changed = bytes.clone();
                    changed[place] ^= 1 << bit;
                    fs::write(&path, &changed).unwrap();
                    let what = format!("{kind:?} at {moment} ms, byte {place} bit {bit}");
                    stand
                        .assert_refused("v2", &["the journal of d2 cannot be read", "d2.jsonl"], &what)
                        .await;
                    flips += 1;
                }
                // The last line feed: a record that was never finished.
                let mut torn = bytes;
                *torn.last_mut().unwrap() ^= 1;
                fs::write(&path, &torn).unwrap();
                ends_as_it_should(&stand, false, &format!("{kind:?} at {moment} ms, torn")).await;
            });
        }
    }
    say(&format!("    {flips} flipped bits refused"));
}

pub(crate) fn records_that_are_missing_doubled_or_swapped_are_refused() {
    let directory = directory();
    let mut refused = 0;
    for kind in Kind::ALL {
        for moment in MOMENTS {
            virtually(async || {
                let stand = interrupted(directory.path(), kind, moment, false).await;
                let path = stand.file("d2");
                let bytes = fs::read(&path).unwrap();
                let all = lines(&bytes);
                for n in 0..all.len() {
                    let mut changed = Vec::new();
                    let mut doubled = all.clone();
                    doubled.insert(n, all[n]);
                    changed.push(("doubled", doubled));
                    if n + 1 < all.len() {
                        let mut missing = all.clone();
                        missing.remove(n);
                        changed.push(("missing", missing));
                        let mut swapped = all.clone();
                        swapped.swap(n, n + 1);
                        changed.push(("swapped with the next", swapped));
                    }
                    for (how, records) in changed {
                        fs::write(&path, records.concat()).unwrap();
                        let what = format!("{kind:?} at {moment} ms, record {n} {how}");
                        stand.assert_refused("v2", &["the journal of d2", "is damaged"], &what).await;
                        refused += 1;
                    }
                }
                fs::write(&path, &bytes).unwrap();
                ends_as_it_should(&stand, false, &format!("{kind:?} at {moment} ms, whole again")).await;
            });
        }
    }
    say(&format!("    {refused} journals with moved records refused"));
}

pub(crate) fn a_journal_that_ended_counts_until_a_newer_one_succeeded() {
    let directory = directory();
    virtually(async || {
        let stand = Stand::serving(directory.path(), Kind::Rolling).await;
        let damage = |id: &str, record: usize| {
            let mut bytes = fs::read(stand.file(id)).unwrap();
            let before: usize = lines(&bytes)[..record].iter().map(|line| line.len()).sum();
            bytes[before + 40] ^= 4;
            fs::write(stand.file(id), bytes).unwrap();
        };
        let whole = fs::read(stand.file("d1")).unwrap();
        damage("d1", 2);
        stand.assert_refused("v2", &["the journal of d1", "record 2", "d1.jsonl"], "the only one").await;

        fs::write(stand.file("d1"), &whole).unwrap();
        stand.run("v2", "d2").await.unwrap();
        damage("d1", 2);
        let report = stand.run("v3", "d3").await.unwrap();
        assert!(report.notes.iter().any(|note| note.contains("d1 is passed over")), "{:?}", report.notes);
        stand.assert_live("v3", "the oldest of three is damaged");

        // Nothing is known of the age of one whose beginning is damaged.
        fs::write(stand.file("d1"), &whole).unwrap();
        damage("d1", 0);
        stand.assert_refused("v4", &["the journal of d1", "record 0"], "a damaged beginning").await;
        let passing = stand.deployment("v4").pass_over("d1").build().unwrap();
        passing.run().await.unwrap();
        stand.assert_live("v4", "it was passed over by name");
    });
}

pub(crate) fn files_that_are_no_journal_of_this_deployment_are_refused() {
    let directory = directory();
    virtually(async || {
        let stand = interrupted(directory.path(), Kind::Canary, 4_000, false).await;
        let whole = fs::read(stand.file("d2")).unwrap();
        fs::copy(stand.file("d1"), stand.file("d2")).unwrap();
        stand.assert_refused("v2", &["the journal of d2", "belongs to deployment d1"], "a copy").await;
        for noise in [&b"\n"[..], b"{}\n", b"\xff\xfe\n", b"null\n{\"format\":1}\n", &[0, b'\n', 0]] {
            fs::write(stand.file("d2"), noise).unwrap();
            stand.assert_refused("v2", &["the journal of d2", "record 0"], "noise").await;
        }
        // A directory in its place cannot be read at all.
        fs::remove_file(stand.file("d2")).unwrap();
        fs::create_dir(stand.file("d2")).unwrap();
        let error = stand.deployment("v2").build().unwrap().run().await.unwrap_err();
        assert!(matches!(error, DeployError::Refused(_)), "{error}");
        fs::remove_dir(stand.file("d2")).unwrap();

        fs::write(stand.file("d2"), &whole).unwrap();
        ends_as_it_should(&stand, false, "whole again").await;
    });
}

pub(crate) fn other_formats_are_named() {
    let directory = directory();
    virtually(async || {
        let stand = interrupted(directory.path(), Kind::BlueGreen, 4_000, false).await;
        let whole = fs::read_to_string(stand.file("d2")).unwrap();
        for (format, words) in
            [("2", "use a newer version"), ("4294967295", "use a newer version"), ("0", "never written")]
        {
            let other = whole.replacen("\"format\":1", &format!("\"format\":{format}"), 1);
            fs::write(stand.file("d2"), other).unwrap();
            stand
                .assert_refused("v2", &["the journal of d2", &format!("format {format}"), words], format)
                .await;
        }
        fs::write(stand.file("d2"), &whole).unwrap();
        ends_as_it_should(&stand, false, "the format it was written in").await;
        let events = stand.events("d2").await;
        assert!(events.iter().any(|event| matches!(event.kind, EventKind::Resumed { .. })));
    });
}
