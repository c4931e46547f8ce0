//! What the engine does while there is nothing to do, or nothing to see.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    engine::EngineSettings,
    error::{BackendError, DeployError, ErrorKind},
    event::{Event, EventKind},
    lock::MemoryLock,
    model::{AttachPoint, Timestamp},
    ports::{CallContext, Gate, GateAnswer, GateWindow, Journal as _, Notifier, Result},
    strategy::{BlueGreen, BlueGreenSettings, Verdict},
};

use crate::{describe, journals, world::World};

fn long_bake() -> BlueGreen {
    let settings = BlueGreenSettings { bake: Duration::from_secs(3600), ..BlueGreenSettings::default() };
    BlueGreen::new(settings).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_wait_calls_no_backend() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let engine = EngineSettings { idle_look: Duration::from_secs(1200), ..EngineSettings::default() };
    let deployment = describe(&world, &lock, "v2").strategy(long_bake()).engine(engine).build().unwrap();
    let (result, (before, after)) = tokio::join!(deployment.run(), async {
        let calls = || world.inner().calls.values().sum::<u32>();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = calls();
        tokio::time::sleep(Duration::from_secs(1000)).await;
        (before, calls())
    });
    result.unwrap();
    assert_eq!(before, after, "calls while nothing was due");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_seen_is_not_acted_on() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let effects = || world.calls("apply") + world.calls("shift") + world.calls("remove");
    let (result, (before, after, looks)) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        world.inner().failing.insert("observe", (u32::MAX, ErrorKind::Unavailable));
        let (before, looks) = (effects(), world.calls("observe"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let seen = (before, effects(), world.calls("observe") - looks);
        world.inner().failing.clear();
        seen
    });
    result.unwrap();
    assert_eq!(before, after, "it acted on a world that it could not see");
    assert!((5..100).contains(&looks), "it looked {looks} times in a minute");
    assert_eq!(world.inner().violations, [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_never_takes_is_repeated_ever_more_slowly() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    world.inner().failing.insert("shift", (u32::MAX, ErrorKind::TimedOut));
    let before = world.calls("shift");
    let deployment = describe(&world, &lock, "v2").build().unwrap();
    let error = tokio::time::timeout(Duration::from_secs(300), deployment.run()).await;
    assert!(error.is_err(), "the progress deadline has not come");
    let calls = world.calls("shift") - before;
    assert!((10..200).contains(&calls), "{calls} calls in five minutes");
}

#[tokio::test(start_paused = true)]
async fn the_time_from_ready_to_gone_is_that_of_the_world() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    describe(&world, &lock, "v2").build().unwrap().run().await.unwrap();
    let journal = journals(&world).await.pop().unwrap();
    let took = journal.last().unwrap().at.since(journal[0].at);
    // Twice 50 ms to start, two probes 1 s apart and 30 ms to stop, and 5 s to watch at the end.
    assert!(took > Duration::from_millis(7160), "{took:?}");
    assert!(
        took < Duration::from_millis(7260),
        "the engine added {:?}",
        took.saturating_sub(Duration::from_millis(7160))
    );
}

#[derive(Debug)]
struct Slow;

#[async_trait]
impl Gate for Slow {
    fn describe(&self) -> String {
        "passes after a minute".into()
    }

    async fn evaluate(&self, _context: &CallContext, window: &GateWindow) -> GateAnswer {
        let asked = window.memory.as_u64().unwrap_or(0) + 1;
        let verdict = if window.now.since(window.since) >= Duration::from_secs(60) {
            Verdict::Pass {
                reason: format!("asked {asked} times about {} instances", window.instances.len()),
            }
        } else {
            Verdict::Hold { reason: "too early".into() }
        };
        GateAnswer { verdict, memory: asked.into(), next_at: window.now.after(Duration::from_secs(10)) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_asked_when_it_wants_and_remembers() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let deployment =
        describe(&world, &lock, "v1").gate(AttachPoint::BeforeTraffic, "slow", Slow).build().unwrap();
    deployment.run().await.unwrap();
    let journal = journals(&world).await.pop().unwrap();
    let passed = journal.iter().rev().find_map(|event| match &event.kind {
        EventKind::Advanced { state, .. } => state.gates.iter().find_map(|gate| gate.verdict.clone()),
        _ => None,
    });
    let reason = passed.unwrap().reason().to_owned();
    assert!(reason.starts_with("asked 7 times about"), "{reason}");
    assert!(!reason.ends_with("about 0 instances"), "{reason}");
}

#[derive(Debug)]
struct Stuck;

#[async_trait]
impl Notifier for Stuck {
    async fn notify(&self, _event: &Event) -> Result<()> {
        std::future::pending::<()>().await;
        Err(BackendError::new(ErrorKind::Unexpected, "notify", "never"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_hangs_holds_nothing_up_for_long() {
    let (world, lock) = (World::new(), MemoryLock::new());
    let started = tokio::time::Instant::now();
    let stuck: Arc<dyn Notifier> = Arc::new(Stuck);
    describe(&world, &lock, "v1").notifier(stuck).build().unwrap().run().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

/// A journal that no deployment writes.
async fn break_one(world: &World, name: &str, epoch: u64) {
    let broken = Event {
        deployment: name.try_into().unwrap(),
        seq: 0,
        epoch: deployer_core::model::Epoch(epoch),
        at: Timestamp::default(),
        path: Vec::new(),
        kind: EventKind::StageStarted,
    };
    world.journal.create(&["web".try_into().unwrap()], &broken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_journal_that_cannot_be_read_is_noted_and_does_not_block() {
    let (world, lock) = (World::new(), MemoryLock::new());
    break_one(&world, "broken", 0).await;
    describe(&world, &lock, "v1").pass_over("broken").build().unwrap().run().await.unwrap();
    let report = describe(&world, &lock, "v2").build().unwrap().run().await.unwrap();
    assert!(report.notes.iter().any(|note| note.contains("broken is passed over")), "{:?}", report.notes);
}

#[tokio::test(start_paused = true)]
async fn the_newest_journal_has_to_be_readable_unless_it_is_passed_over_by_name() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    break_one(&world, "broken", 100).await;
    for passed_over in ["other", "web-v1"] {
        let deployment = describe(&world, &lock, "v2").pass_over(passed_over).build().unwrap();
        for error in [deployment.preview().await.unwrap_err(), deployment.run().await.unwrap_err()] {
            let text = error.to_string();
            assert!(matches!(error, DeployError::Refused(_)), "{text}");
            assert!(text.contains("the journal of broken cannot be read"), "{text}");
            assert!(text.contains("name it in `pass_over`"), "{text}");
        }
    }
    assert_eq!(world.live()[0].0, "v1", "nothing was done");
    describe(&world, &lock, "v2").pass_over("broken").build().unwrap().run().await.unwrap();
    assert_eq!((world.live().len(), world.live()[0].0.as_str()), (1, "v2"));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_never_takes_ends_after_the_progress_deadline() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    world.inner().failing.insert("shift", (u32::MAX, ErrorKind::TimedOut));
    let started = tokio::time::Instant::now();
    let error = describe(&world, &lock, "v2").build().unwrap().run().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("tried until the progress deadline"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(700), "{:?}", started.elapsed());
    let live = world.live();
    assert_eq!((live.len(), live[0].0.as_str(), live[0].3), (1, "v1", 2));
}

#[tokio::test(start_paused = true)]
async fn a_hint_wakes_at_once_and_hints_without_end_do_not_make_a_hot_loop() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let engine = EngineSettings { idle_look: Duration::from_secs(7200), ..EngineSettings::default() };
    let describe_baking = || describe(&world, &lock, "v2").strategy(long_bake()).engine(engine.clone());
    let deployment = describe_baking().build().unwrap();
    let (result, (quiet, hinted, noisy)) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let quiet = world.calls("observe");
        world.hint();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let hinted = world.calls("observe");
        world.inner().noisy = true;
        world.hint();
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.inner().noisy = false;
        (quiet, hinted, world.calls("observe"))
    });
    result.unwrap();
    assert_eq!(hinted, quiet + 1, "the hint was followed");
    assert!((10..400).contains(&(noisy - hinted)), "{} looks in a minute of hints", noisy - hinted);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_dies_in_the_bake_time_is_noticed() {
    let (world, lock) = (World::new(), MemoryLock::new());
    describe(&world, &lock, "v1").build().unwrap().run().await.unwrap();
    let deployment = describe(&world, &lock, "v2").strategy(long_bake()).build().unwrap();
    let (result, ()) = tokio::join!(deployment.run(), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.kill_one("v2");
        world.hint();
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("exit code 9"), "{error}");
    assert_eq!(world.live()[0].0, "v1");
}
