//! Killed at each step that can be seen from outside: every change of a file, and every line that nginx writes.

use std::{collections::BTreeMap, fs, path::PathBuf};

use deployer_nginx::NginxSettings;
use deployer_testkit::cases::say;

use super::{
    child::Order,
    events::{Watch, says},
    resume::{resume, switch_on},
};
use crate::support::{Stage, all_to};

/// More than any switch has.
const MOST_STEPS: usize = 100;

fn places(stage: &Stage) -> Vec<PathBuf> {
    let directory = stage.server().paths().directory();
    let mut places: Vec<PathBuf> = ["staging", "previous", "workloads", "refused", "run/locks"]
        .map(|name| directory.join(name))
        .to_vec();
    // The signal, and what the master does about it.
    places.push(stage.own.directory().join("error.log"));
    places
}

pub(super) fn block_on(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(body);
}

pub(crate) fn of_a_switch() {
    block_on(async {
        let stage = Stage::start(NginxSettings::default()).await;
        let sets = [all_to("v1", &stage.members("v1", 1).await), all_to("v2", &stage.members("v2", 1).await)];
        switch_on(&stage, 5, &sets[0]).await;
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        let mut kills = 0;
        for steps in 1..MOST_STEPS {
            let (old, new) = (&sets[kills % 2], &sets[(kills + 1) % 2]);
            let order = Order {
                settings: stage.server().settings().clone(),
                workload: stage.web.clone(),
                epoch: 5,
                split: new.clone(),
            };
            let watch = Watch::on(&places(&stage));
            let Some(last) = watch.kill_after(steps, order.start()) else { break };
            let resumed = resume(&stage).await;
            let end = if resumed.view.split == *new { "new" } else { "old" };
            assert!(resumed.view.split == *new || resumed.view.split == *old, "{resumed:?}");
            assert!(resumed.reloads <= 1 && resumed.errors.is_empty(), "after {last}: {resumed:?}");
            if resumed.reloads == 1 {
                *ends.entry("finished by one reload").or_default() += 1;
            }
            *ends.entry(end).or_default() += 1;
            kills += 1;
            // The next one begins where this one should have ended.
            switch_on(&stage, 5, new).await;
        }
        say(&format!("{kills} kills: {ends:?}"));
        assert!(kills > 15 && kills < MOST_STEPS - 1, "{kills} steps were seen");
        assert!(ends["old"] > 3 && ends["new"] > 3, "{ends:?}");
    });
}

pub(crate) fn of_a_refused_switch() {
    block_on(async {
        let stage = Stage::start(NginxSettings::default()).await;
        let old = all_to("v1", &stage.members("v1", 1).await);
        let new = all_to("v2", &stage.members("v2", 1).await);
        switch_on(&stage, 5, &old).await;
        // A memory that is there with another key: the test does not see it, and the master refuses at once.
        stage.write_foreign("limit_req_zone $binary_remote_addr zone=other:1m rate=1r/s;");
        stage.server().reload().await.unwrap();
        stage.write_foreign("limit_req_zone $host zone=other:1m rate=1r/s;");
        let mut kills = 0;
        let mut with_new_file = 0;
        for steps in 1..MOST_STEPS {
            let order = Order {
                settings: stage.server().settings().clone(),
                workload: stage.web.clone(),
                epoch: 5,
                split: new.clone(),
            };
            let Some(last) = Watch::on(&places(&stage)).kill_after(steps, order.start()) else { break };
            let has_new_file = says(&stage.file(), "\"v2\"");
            // nginx refuses the resuming one too, which therefore goes back.
            let resumed = resume(&stage).await;
            assert_eq!(resumed.view.split, old, "after {last}");
            assert!(resumed.reloads <= 1, "after {last}: {resumed:?}");
            assert!(
                resumed.errors.iter().all(|error| error.contains("while previously it used")),
                "after {last}: {resumed:?}"
            );
            with_new_file += usize::from(has_new_file);
            kills += 1;
        }
        say(&format!("{kills} kills of a refused switch, {with_new_file} with the new file in its place"));
        assert!(kills > 15 && with_new_file > 2, "{kills} steps, {with_new_file} with the new file");
        stage.write_foreign("");
        switch_on(&stage, 6, &new).await;
        assert!(fs::read_dir(stage.server().paths().directory().join("staging")).unwrap().next().is_none());
    });
}
