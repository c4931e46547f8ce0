//! Sizes of sets.

use std::collections::BTreeSet;

use deployer_core::model::{InstancePhase, PlaceStatus, SetId};
use futures::future::{join, join3};

use super::{
    rig::{ReleaseKind, TargetRig},
    stage::{Stage, ids_of, in_words, live, names, on},
};
use crate::conformance::check::{Check, Checked, Suite, ensure, not_applicable};

const NOTHING: Check = Check {
    name: "nothing-is-there-before-the-first-apply",
    proves: "`observe` of a workload that nobody applied anything to has no instance and at least one known place",
    matters: "what is seen there is taken for a release of the workload and stopped",
};

const SIZE: Check = Check {
    name: "a-set-gets-its-size",
    proves: "`apply` is accepted, the instances read as starting and then running, with the digest of `prepare`, ids and \
             addresses of their own, in an order that stays",
    matters: "an instance with another digest is never verified; two with one id or address are counted as one",
};

const TWICE: Check = Check {
    name: "said-twice-is-said-once",
    proves: "`apply` is a level: the same size again changes nothing",
    matters: "an answer that is lost makes the engine call again: each time it would start a second set of instances",
};

const GROWS: Check = Check {
    name: "growing-keeps-what-runs",
    proves: "a larger size adds instances and leaves the others alone",
    matters: "instances in rotation are replaced behind the router's back, and their requests are lost",
};

const SHRINKS: Check = Check {
    name: "shrinking-takes-no-more-than-it-should",
    proves: "a smaller size leaves that many; those that go read as stopping and are gone within the grace",
    matters: "capacity is lost that the strategy counts on, or instances are left behind for ever",
};

const VICTIMS: Check = Check {
    name: "shrinking-takes-the-named-ones",
    proves: "`pins_victims`: a shrinking set loses exactly the instances named in `remove_first`",
    matters: "the named ones were taken out of rotation and drained first; any other still gets requests",
};

const ONLY_NAMES: Check = Check {
    name: "naming-alone-removes-nothing",
    proves: "`remove_first` says who goes when a set shrinks; it makes nothing smaller",
    matters: "the engine names those that are out of rotation with every size it says",
};

const ZERO: Check = Check {
    name: "zero-is-a-size",
    proves: "a set may have no instance, and grows again",
    matters: "recreate and the way back shrink a set to nothing before they need it again",
};

const NEVER_AGAIN: Check = Check {
    name: "a-name-is-never-used-again",
    proves: "the id of an instance is unique in its workload for ever",
    matters: "what was decided about the instance before (it failed, it was drained) is held against the new one",
};

const AT_ONCE: Check = Check {
    name: "calls-at-once-do-not-get-in-each-others-way",
    proves: "the commands of one act are independent: sizes of two sets, and the same size twice, may be said at once",
    matters: "one of the sets gets the size of the other, or a size is made twice",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, NOTHING, nothing).await;
    on(suite, rig, SIZE, size).await;
    on(suite, rig, TWICE, twice).await;
    on(suite, rig, GROWS, grows).await;
    on(suite, rig, SHRINKS, shrinks).await;
    on(suite, rig, VICTIMS, victims).await;
    on(suite, rig, ONLY_NAMES, only_names).await;
    on(suite, rig, ZERO, zero).await;
    on(suite, rig, NEVER_AGAIN, never_again).await;
    on(suite, rig, AT_ONCE, at_once).await;
}

async fn nothing(stage: &Stage<'_>) -> Checked {
    let view = stage.observe().await?;
    let instances: Vec<_> = view.sets.iter().flat_map(|set| set.instances.clone()).collect();
    ensure(instances.is_empty(), || in_words(&instances), "no instance")?;
    let known = view.places.iter().any(|place| place.status == PlaceStatus::Known);
    ensure(known, || format!("places {:?}", view.places), "at least one known place")
}

async fn size(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    stage.size(&release, 2).await?;
    let set = SetId::from(&release.release.id);
    let at_first = stage.instances(&set).await?;
    let starts =
        |phase: &InstancePhase| matches!(phase, InstancePhase::Starting | InstancePhase::Running { .. });
    let right = at_first.iter().all(|one| starts(&one.phase)) && at_first.len() <= 2;
    ensure(right, || in_words(&at_first), "at most two instances, starting or running")?;
    let instances = stage.until_running(&release, 2).await?;
    let wrong = instances.iter().find(|one| one.digest != release.artifact.digest);
    ensure(
        wrong.is_none(),
        || format!("instances show {:?}", wrong.map(|one| &one.digest)),
        format!("digest {}, as prepared", release.artifact.digest),
    )?;
    let ids: BTreeSet<_> = instances.iter().map(|one| &one.id).collect();
    let addresses: BTreeSet<_> = instances.iter().filter_map(|one| one.address).collect();
    let served = instances.iter().filter(|one| one.address.is_some()).count();
    let seen = || format!("ids {ids:?}, addresses {addresses:?}");
    ensure(ids.len() == 2 && addresses.len() == served, seen, "two ids, and no address twice")?;
    stage.stays(&set, &ids_of(&instances)).await
}

async fn twice(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    stage.size(&release, 2).await?;
    stage.size(&release, 2).await?;
    let first = stage.until_running(&release, 2).await?;
    stage.size(&release, 2).await?;
    let set = SetId::from(&release.release.id);
    stage.stays(&set, &ids_of(&first)).await?;
    let again = stage.until_running(&release, 2).await?;
    let same = first.iter().zip(&again).all(|(one, other)| one.started_at == other.started_at);
    ensure(same, || "other times of start", "the same runs of the same instances")
}

async fn grows(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let first = stage.run(&release, 1).await?;
    let all = stage.run(&release, 3).await?;
    let kept = all.iter().any(|one| one.id == first[0].id && one.started_at == first[0].started_at);
    ensure(kept, || in_words(&all), format!("{} runs on", first[0].id))
}

async fn shrinks(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let all = ids_of(&stage.run(&release, 3).await?);
    stage.size(&release, 1).await?;
    let set = SetId::from(&release.release.id);
    let now = stage.instances(&set).await?;
    let left = ids_of(&live(&now));
    let right = left.len() == 1 && now.iter().all(|one| all.contains(&one.id));
    ensure(right, || in_words(&now), "one of the three is left, the others are stopping or gone")?;
    let last = stage.until_running(&release, 1).await?;
    ensure(ids_of(&last) == left, || in_words(&last), format!("{} is left", names(&left)))?;
    stage.stays(&set, &left).await
}

async fn victims(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().pins_victims {
        return Err(not_applicable("it does not claim `pins_victims`"));
    }
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let all = ids_of(&stage.run(&release, 4).await?);
    // Neither the newest nor the oldest, which a target might take by itself; and in a sequence of their own.
    let named = [all[2].clone(), all[1].clone()];
    for times in 1..=2 {
        let answer = stage.apply(&stage.context(), &release, 2, &named).await?;
        crate::conformance::check::worked("apply", answer)?;
        let set = SetId::from(&release.release.id);
        let left = ids_of(&live(&stage.instances(&set).await?));
        let expected = [all[0].clone(), all[3].clone()];
        let seen = || format!("said {times} times, {} are left", names(&left));
        ensure(left == expected, seen, format!("{} are left", names(&expected)))?;
    }
    stage.until_running(&release, 2).await.map(drop)
}

async fn only_names(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let all = ids_of(&stage.run(&release, 2).await?);
    let answer = stage.apply(&stage.context(), &release, 2, &all[..1]).await?;
    crate::conformance::check::worked("apply", answer)?;
    stage.stays(&SetId::from(&release.release.id), &all).await
}

async fn zero(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let set = SetId::from(&release.release.id);
    stage.size(&release, 0).await?;
    stage.until_gone(&set).await?;
    stage.run(&release, 1).await?;
    stage.size(&release, 0).await?;
    stage.until_gone(&set).await?;
    stage.run(&release, 1).await.map(drop)
}

async fn never_again(stage: &Stage<'_>) -> Checked {
    let release = stage.pin("v1", ReleaseKind::Good).await?;
    let all = ids_of(&stage.run(&release, 2).await?);
    let left = ids_of(&stage.run(&release, 1).await?);
    let again = ids_of(&stage.run(&release, 2).await?);
    let fresh: Vec<_> = again.iter().filter(|id| !left.contains(id)).cloned().collect();
    let reused: Vec<_> = fresh.iter().filter(|id| all.contains(id)).cloned().collect();
    ensure(reused.is_empty(), || format!("{} came back", names(&reused)), "a name that was never used")
}

async fn at_once(stage: &Stage<'_>) -> Checked {
    stage.needs_two_sets()?;
    let first = stage.pin("v1", ReleaseKind::Good).await?;
    let second = stage.pin("v2", ReleaseKind::OtherGood).await?;
    let (one, again, other) =
        join3(stage.size(&first, 2), stage.size(&first, 2), stage.size(&second, 1)).await;
    one.and(again).and(other)?;
    let (one, other) = join(stage.until_running(&first, 2), stage.until_running(&second, 1)).await;
    one.and(other).map(drop)
}
