//! Splits as levels.

use std::{sync::Arc, time::Duration};

use deployer_core::{
    model::{Proof, Split},
    ports::TrafficRouter,
};
use futures::{StreamExt as _, future::join};
use tokio::time::timeout;

use super::{
    rig::RouterRig,
    stage::{Stage, all_to, on, serve, share},
};
use crate::{
    conformance::{
        check::{Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable, poll_and_drop},
        scope,
    },
    inject::{After, AtCall, Before, EachTwice, Wrapped},
};

const EMPTY: Check = Check {
    name: "nothing-is-routed-before-the-first-split",
    proves: "`current` of a workload that nothing was applied for is the empty split",
    matters: "a first deployment takes foreign members for the old release and tries to retire them",
};

const ROUND_TRIP: Check = Check {
    name: "what-was-accepted-is-current",
    proves: "`current` is the split that was accepted last: shares, weights and members",
    matters: "the engine compares it with what it wants: a difference that never ends makes it apply again and again, \
              and a member that is forgotten gets no requests",
};

const PROOF: Check = Check {
    name: "a-switch-is-proven-in-time",
    proves: "`proves`: pending becomes proven; without it every proof is `CannotKnow`",
    matters: "old instances are stopped only after the proof: without it every switch waits until the deadline and the \
              rollout goes back",
};

const TWICE: Check = Check {
    name: "said-twice-is-said-once",
    proves: "the same split again costs nothing: the data plane keeps its generation and its proof",
    matters: "each repeated call would reload the data plane and cut connections",
};

const ATOMIC: Check = Check {
    name: "a-split-is-one-step",
    proves: "`apply` changes the whole traffic in one atomic step: a reader sees a split that was applied, never a mixture",
    matters: "between the steps nobody serves, or both versions do with weights that nobody asked for",
};

const EACH_TWICE: Check = Check {
    name: "each-call-may-be-made-twice",
    proves: "all calls are levels, so each may be repeated at any time, also when its answer was lost",
    matters: "the engine repeats every call whose answer it did not hear",
};

const DROPPED: Check = Check {
    name: "a-dropped-apply-is-the-old-split-or-the-new-one",
    proves: "if `apply` is dropped the split is the old one or the new one, never a mixture; it can be said again",
    matters: "a deployer that is stopped in the middle of a switch leaves the service without members",
};

const HINTS: Check = Check {
    name: "a-change-gives-a-hint",
    proves: "`watch` hints at changes, or fails: then the engine looks at intervals",
    matters: "a stream that stays silent lets the engine sleep through every proof",
};

const OTHERS: Check = Check {
    name: "other-workloads-are-not-touched",
    proves: "all calls are about the workload of their context",
    matters: "deploying one service takes the traffic of another",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn RouterRig) {
    on(suite, rig, EMPTY, empty).await;
    on(suite, rig, ROUND_TRIP, round_trip).await;
    on(suite, rig, PROOF, proof).await;
    on(suite, rig, TWICE, twice).await;
    on(suite, rig, ATOMIC, atomic).await;
    on(suite, rig, EACH_TWICE, each_twice).await;
    on(suite, rig, DROPPED, dropped).await;
    on(suite, rig, HINTS, hints).await;
    on(suite, rig, OTHERS, others).await;
}

async fn empty(stage: &Stage<'_>) -> Checked {
    ensure_eq("split", &stage.current().await?.split, &Split::EMPTY)
}

async fn round_trip(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 2).await);
    let mut splits = vec![all_to("v1", &old), all_to("v2", &new)];
    if stage.capabilities().weights {
        splits.push(serve(vec![share("v1", 90, &old), share("v2", 10, &new)]));
        splits.push(serve(vec![share("v1", 1, &old), share("v2", 0, &new)]));
    }
    if stage.capabilities().members {
        splits.push(all_to("v1", &old[..1]));
    }
    splits.push(Split::EMPTY);
    for split in &splits {
        stage.shift(split).await?;
        ensure_eq("split", &stage.current().await?.split, split)?;
        ensure_eq("split, asked again", &stage.current().await?.split, split)?;
    }
    Ok(())
}

async fn proof(stage: &Stage<'_>) -> Checked {
    let proves = stage.capabilities().proves;
    for set in ["v1", "v2"] {
        let members = stage.members(set, 1).await;
        let proof = stage.switch(&all_to(set, &members)).await?.proof;
        let right = matches!(proof, Proof::Proven { .. }) == proves;
        let expected =
            if proves { "`Proven`: it claims `proves`" } else { "`CannotKnow`: it does not claim `proves`" };
        ensure(right, || format!("{proof:?}"), expected)?;
    }
    Ok(())
}

async fn twice(stage: &Stage<'_>) -> Checked {
    let members = stage.members("v1", 2).await;
    let split = all_to("v1", &members);
    let first = stage.switch(&split).await?;
    for _ in 0..3 {
        stage.shift(&split).await?;
        ensure_eq("after the same split again", &stage.current().await?, &first)?;
    }
    Ok(())
}

async fn atomic(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 2).await);
    let splits = [all_to("v1", &old), all_to("v2", &new)];
    stage.shift(&splits[0]).await?;
    let writes = async {
        for number in 1..=20 {
            stage.shift(&splits[number % 2]).await?;
        }
        Ok(())
    };
    let reads = async {
        for _ in 0..40 {
            let seen = stage.current().await?.split;
            ensure(
                splits.contains(&seen),
                || format!("{seen:?}"),
                "one of the two splits that were applied",
            )?;
            // Lets the writer go on where neither waits for anything.
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (written, read): (Checked, Checked) = join(writes, reads).await;
    written.and(read)?;
    stage.settled(&splits[0]).await.map(drop)
}

async fn each_twice(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let wrapped = Wrapped::<dyn TrafficRouter>::new(Arc::clone(&stage.router), Arc::new(EachTwice));
    let twice = Stage { rig: stage.rig, router: Arc::new(wrapped), workload: stage.workload.clone() };
    twice.switch(&all_to("v1", &old)).await?;
    twice.switch(&all_to("v2", &new)).await?;
    let loses = Arc::new(AtCall::new(1, Before::Go, After::Lose));
    let wrapped = Wrapped::<dyn TrafficRouter>::new(Arc::clone(&stage.router), loses);
    let answer = wrapped.apply(&stage.context(), &all_to("v1", &old)).await;
    ensure(answer.is_err(), || "the answer came", "the answer is lost on the way")?;
    stage.switch(&all_to("v1", &old)).await.map(drop)
}

async fn dropped(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let splits = [all_to("v1", &old), all_to("v2", &new)];
    stage.switch(&splits[0]).await?;
    for polls in [0, 1, 2, 3, 5, 8, 13] {
        for split in [&splits[1], &splits[0]] {
            poll_and_drop(stage.router.apply(&stage.context(), split), polls).await;
            let seen = stage.current().await?.split;
            ensure(splits.contains(&seen), || format!("{seen:?}"), "the old split or the new one")?;
            stage.switch(split).await?;
        }
    }
    Ok(())
}

async fn hints(stage: &Stage<'_>) -> Checked<String> {
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    stage.switch(&all_to("v1", &old)).await?;
    let context = stage.context();
    let watch = stage.router.watch(&context);
    let Ok(mut hints) = scope::within("watch", stage.rig.patience(), watch).await? else {
        return Ok("it has no stream; the engine looks at intervals".to_owned());
    };
    // What came until now may be about the split before.
    while let Ok(Some(())) = timeout(Duration::from_millis(50), hints.next()).await {}
    stage.shift(&all_to("v2", &new)).await?;
    let patience = stage.rig.patience();
    let silent =
        |_| failed(format!("no hint within {patience:?} after a split"), "a hint, or the end of the stream");
    timeout(patience, hints.next()).await.map(|_| "hints came".to_owned()).map_err(silent)
}

async fn others(stage: &Stage<'_>) -> Checked {
    let workload = scope::fresh_workload();
    let other = Stage { rig: stage.rig, router: stage.rig.router(&workload).await, workload };
    let result = beside(stage, &other).await;
    stage.rig.clean_up(&other.workload).await;
    result
}

async fn beside(stage: &Stage<'_>, other: &Stage<'_>) -> Checked {
    let theirs = all_to("v1", &other.members("v1", 1).await);
    other.switch(&theirs).await?;
    let ours = all_to("v1", &stage.members("v1", 1).await);
    if ours == theirs {
        return Err(not_applicable("the rig gives two workloads the same members"));
    }
    ensure_eq("our split", &stage.current().await?.split, &Split::EMPTY)?;
    stage.switch(&ours).await?;
    ensure_eq("their split", &other.current().await?.split, &theirs)
}
