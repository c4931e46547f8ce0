//! Whole rollouts.

use std::time::Duration;

use deployer_core::{
    error::{DeployError, ErrorKind, Problem},
    event::{Event, EventKind},
    journal::FileJournal,
    lock::{FileLock, MemoryLock},
    model::{RolloutSettings, RouterCapabilities, SetSpec, TargetCapabilities, WorkloadId},
    ports::Lock as _,
    strategy::{
        BlueGreen, BlueGreenSettings, Budget, Cause, Command, Decision, Outcome, Recreate, RecreateSettings,
        Situation, Strategy,
    },
};
use futures::StreamExt as _;

use crate::{describe, journals, world::World};

fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| {
        let value = serde_json::to_value(event).unwrap();
        value["kind"].as_str().unwrap().to_owned()
    };
    let mut names: Vec<String> = events.iter().map(name).collect();
    names.dedup_by(|a, b| a == b && (a == "advanced" || a == "intent"));
    names
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_live_and_the_next_one_replaces_it() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let report = describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v1", 2, 2));

    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let events = deployment.events();
    let report = deployment.run().await.unwrap();
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v2", 2, 2));
    assert_eq!(world.inner().violations, [] as [String; 0]);
    assert_eq!(report.rollouts[0].stable.as_ref().unwrap().as_str(), "v1");
    assert_eq!(report.rollouts[0].live.len(), 1);

    let journal = journals(&world).await.pop().unwrap();
    let streamed: Vec<Event> =
        events.filter(|event| futures::future::ready(event.kind.is_durable())).collect().await;
    assert_eq!(streamed, journal, "listeners see what the journal has");
    let names = names(&journal);
    assert_eq!(names[..3], ["deployment_started", "stage_started", "rollout_started"]);
    assert_eq!(names[names.len() - 3..], ["rollout_finished", "stage_succeeded", "deployment_finished"]);
    assert!(journal.iter().zip(0..).all(|(event, seq)| event.seq == seq));
    let paths = journal.iter().map(|event| event.path.len()).collect::<Vec<_>>();
    assert_eq!((paths[0], paths[1], paths[paths.len() - 1]), (0, 1, 0));
    let EventKind::RolloutStarted { plan, .. } = &journal[2].kind else { panic!() };
    assert_eq!(&*plan.stable.as_ref().unwrap().artifact.digest, "sha:v1");
}

#[tokio::test(start_paused = true)]
async fn every_effect_has_an_intent_and_the_preview_lists_them_all() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let before = world.calls("apply") + world.calls("shift") + world.calls("remove");
    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let preview = deployment.preview().await.unwrap();
    deployment.run().await.unwrap();
    let journal = journals(&world).await.pop().unwrap();
    let intents: Vec<Vec<Command>> = journal
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Intent { commands, .. } => Some(commands),
            _ => None,
        })
        .collect();
    let kinds = |commands: &[Command]| {
        commands.iter().map(|command| command.to_string().replace("-new-", "-")).collect::<Vec<_>>()
    };
    let done: Vec<_> = intents.iter().map(|commands| kinds(commands)).collect();
    let previewed: Vec<_> = preview.actions().map(kinds).collect();
    assert_eq!(done, previewed);
    let effects = intents.iter().flatten().filter(|command| !matches!(command, Command::Prepare(_))).count();
    let after = world.calls("apply") + world.calls("shift") + world.calls("remove");
    assert_eq!(u32::try_from(effects).unwrap(), after - before, "no retry, no effect without an intent");
}

#[tokio::test(start_paused = true)]
async fn a_bad_release_goes_back_and_its_error_leads_to_the_evidence() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    world.inner().bad.insert(crate::release("v2").id);
    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let error = deployment.run().await.unwrap_err();
    let text = error.to_string();
    let DeployError::RolledBack { cause, .. } = error else { panic!("{text}") };
    assert!(matches!(cause, Cause::InstancesFailed { .. }), "{cause}");
    assert!(text.contains("v2-3") && text.contains("last said: no database"), "{text}");
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v1", 2));
    let report = deployment.report().unwrap();
    assert_eq!(report.evidence[0].why, "status 500");
    let shown = report.to_string();
    assert!(
        shown.contains("rolled back") && shown.contains("live: v1 of web with 2 running instances"),
        "{shown}"
    );
    assert!(shown.ends_with("next: v1 serves as before; mend v2 of web and deploy it again"), "{shown}");

    world.inner().bad.clear();
    describe(&world, &lock, "v3").build().unwrap().run().await.unwrap();
    let journal = journals(&world).await.pop().unwrap();
    let EventKind::RolloutStarted { plan, .. } = &journal[2].kind else { panic!() };
    assert_eq!(plan.stable_set.as_ref().unwrap().as_str(), "v1", "what was rolled back is not stable");
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_refuses() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let deployment = describe(&world, &lock, "v1").build().unwrap();
    let held = lock.acquire(&[WorkloadId::new("web").unwrap()], deployment.id()).await.unwrap();
    let error = deployment.run().await.unwrap_err();
    assert!(matches!(error, DeployError::Locked { .. }), "{error}");
    assert_eq!((world.calls("observe"), journals(&world).await.len()), (0, 0));
    drop(held);
    deployment.run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn aborting_goes_back_and_interrupting_can_be_resumed() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let control = deployment.control();
    let (result, ()) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        control.interrupt("told to end");
    });
    let error = result.unwrap_err();
    assert!(matches!(&error, DeployError::Interrupted { why } if why == "told to end"), "{error}");
    control.abort("changed my mind");
    let error = deployment.run().await.unwrap_err();
    assert!(
        matches!(&error, DeployError::Aborted { reason, .. } if reason.contains("changed my mind")),
        "{error}"
    );
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v1", 2));
    let all = journals(&world).await;
    assert_eq!(all.len(), 2, "it was the same deployment");
    assert!(
        names(&all[1]).contains(&"interrupted".to_owned()) && names(&all[1]).contains(&"resumed".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn another_plan_supersedes_and_its_set_is_retired() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let second = describe(&world, &lock, "v2").build().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(250), second.run()).await.is_err(), "it is under way");
    let report = describe(&world, &lock, "v3").build().unwrap().run().await.unwrap();
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v3", 2, 2));
    let all = journals(&world).await;
    let last = &all[1].last().unwrap().kind;
    let by = report.deployment.to_string();
    assert_eq!(*last, EventKind::DeploymentFinished { outcome: Outcome::Superseded { by } });
    assert_eq!(world.inner().violations, [] as [String; 0]);
    assert_eq!(report.rollouts[0].stable.as_ref().unwrap().as_str(), "v1");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_no_journal_knows_is_not_touched_unless_it_is_adopted() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let lost = deployer_core::journal::MemoryJournal::new();
    let error = describe(&world, &lock, "v2").journal(lost.clone()).build().unwrap().run().await.unwrap_err();
    assert!(
        matches!(&error, DeployError::Refused(problems) if problems[0].message.contains("adopt")),
        "{error}"
    );
    let calls = world.calls("remove");
    assert_eq!(calls, 0);
    let adopting = describe(&world, &lock, "v2").journal(lost).adopt("v1").build().unwrap();
    let report = adopting.run().await.unwrap();
    assert_eq!(report.rollouts[0].stable.as_ref().unwrap().as_str(), "v1");
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str()), (1, "v2"));
}

#[tokio::test(start_paused = true)]
async fn failing_calls_are_repeated_and_a_refusal_goes_back() {
    let (world, lock) = (World::new(), MemoryLock::new());
    world.inner().failing.insert("apply", (2, ErrorKind::Unavailable));
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let applies = world.calls("apply");
    assert_eq!(applies, 3, "two failures and the one that worked");
    world.inner().failing.insert("apply", (1, ErrorKind::InvalidInput));
    let error = describe(&world, &lock, "v2").build().unwrap().run().await.unwrap_err();
    let DeployError::RolledBack { cause, .. } = &error else { panic!("{error}") };
    assert!(matches!(cause, Cause::CommandFailed { .. }), "{cause}");
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v1", 2));
}

#[tokio::test(start_paused = true)]
async fn recreate_works_too() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let recreate = || Recreate::new(RecreateSettings::default());
    describe(&world, &lock, "v1").strategy(recreate()).build().unwrap().run().await.unwrap();
    describe(&world, &lock, "v2").strategy(recreate()).build().unwrap().run().await.unwrap();
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v2", 2, 2));
    assert_eq!(world.inner().violations, [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn deploying_the_same_release_again_repairs_it() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let effects = |world: &World| world.calls("apply") + world.calls("shift") + world.calls("remove");
    let before = effects(&world);
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    assert_eq!(effects(&world), before, "the world agrees, so nothing is done");
    world.kill_one("v1");
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].1, live[0].3), (1, "v1", 2, 2));
    assert!(effects(&world) > before);
}

#[tokio::test(start_paused = true)]
async fn a_release_of_a_little_while_ago_is_returned_to() {
    let (world, lock) = (World::new(), MemoryLock::new());
    for (name, returning) in [("v1", false), ("v2", false), ("v3", false), ("v2", true), ("v1", false)] {
        let settings = RolloutSettings { rollback_window: 1, ..RolloutSettings::default() };
        describe(&world, &lock, name).settings(settings).build().unwrap().run().await.unwrap();
        let journal = journals(&world).await.pop().unwrap();
        let EventKind::RolloutStarted { plan, .. } = &journal[2].kind else { panic!() };
        assert_eq!(plan.returning, returning, "{name}");
    }
}

#[derive(Debug)]
struct Panics;

impl Strategy for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn check(&self, _: &TargetCapabilities, _: Option<&RouterCapabilities>) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: 0, max_total: replicas, keeps_old: false }
    }

    fn decide(&self, _: &Situation<'_>) -> Decision {
        panic!("a bug")
    }
}

#[derive(Debug)]
struct TooMany;

impl Strategy for TooMany {
    fn name(&self) -> &'static str {
        "too-many"
    }

    fn check(&self, _: &TargetCapabilities, _: Option<&RouterCapabilities>) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn budget(&self, replicas: u32, _: &TargetCapabilities) -> Budget {
        Budget { min_available: 0, max_total: replicas, keeps_old: false }
    }

    fn decide(&self, situation: &Situation<'_>) -> Decision {
        let spec = SetSpec { set: situation.state.candidate.clone(), replicas: 9, remove_first: Vec::new() };
        Decision::Act { commands: vec![Command::Apply(spec)], why: "a bug".into() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_with_a_bug_is_stopped_before_it_does_harm() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let error = describe(&world, &lock, "v1").strategy(Panics).build().unwrap().run().await.unwrap_err();
    assert!(matches!(&error, DeployError::Stuck { why, .. } if why.contains("panicked")), "{error}");
    let error = describe(&world, &lock, "v2").strategy(TooMany).build().unwrap().run().await.unwrap_err();
    assert!(matches!(&error, DeployError::Stuck { why, .. } if why.contains("capacity")), "{error}");
    assert_eq!(world.calls("apply"), 0);
}

#[tokio::test]
async fn it_works_with_files_and_in_real_time() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new();
    for name in ["v1", "v2"] {
        let deployment = describe(&world, &MemoryLock::new(), name)
            .strategy(
                BlueGreen::new(BlueGreenSettings { bake: Duration::ZERO, ..Default::default() }).unwrap(),
            )
            .journal(FileJournal::open(directory.path()).unwrap())
            .lock(FileLock::open(directory.path()).unwrap())
            .build()
            .unwrap();
        let report = deployment.run().await.unwrap();
        let path = directory.path().join("web").join(format!("{}.jsonl", report.deployment));
        let contents = deployer_core::journal::read(&std::fs::read(path).unwrap(), "file").unwrap();
        assert!(matches!(contents.events.last().unwrap().kind, EventKind::DeploymentFinished { .. }));
    }
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v2", 2));
}

#[tokio::test(start_paused = true)]
async fn a_writer_whose_lock_is_lost_stops() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let (old, web) = (describe(&world, &lock, "v2").build().unwrap(), WorkloadId::new("web").unwrap());
    let new = describe(&world, &lock, "v3").take_over().build().unwrap();
    let (old, new) = tokio::join!(old.run(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lock.declare_dead(&web);
        new.run().await
    });
    let error = old.unwrap_err();
    // Whichever notices first: the lock before an action, or the journal before a decision.
    let fenced = |why: &str| why.contains("taken over") || why.contains("fenced");
    assert!(matches!(&error, DeployError::Interrupted { why } if fenced(why)), "{error}");
    new.unwrap();
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v3", 2));
    assert_eq!(world.inner().violations, [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_done_once_the_lock_is_lost() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let deployment = describe(&world, &lock, "v1").build().unwrap();
    let web = [WorkloadId::new("web").unwrap()];
    let (result, (grant, before)) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        lock.declare_dead(&web[0]);
        (lock.take_over(&web, deployment.id()).await.unwrap(), world.calls("shift"))
    });
    let error = result.unwrap_err();
    assert!(matches!(&error, DeployError::Interrupted { why } if why.contains("taken over")), "{error}");
    assert_eq!((before, world.calls("shift")), (0, 0));
    drop(grant);
    deployment.run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn epochs_grow_even_if_the_lock_forgot_them() {
    let world = World::new();
    for name in ["v1", "v2", "v3"] {
        describe(&world, &MemoryLock::new(), name).build().unwrap().run().await.unwrap();
    }
    let epochs: Vec<u64> = journals(&world).await.iter().map(|events| events[0].epoch.0).collect();
    assert_eq!(epochs, [1, 2, 3]);
}
