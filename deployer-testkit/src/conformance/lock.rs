//! The suite for locks.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{
    error::report,
    model::{Epoch, WorkloadId},
    ports::{Lock, LockError, LockGrant},
};
use futures::future::{join, join_all};
use tokio::time::sleep;

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable, poll_and_drop, until, worked},
    scope,
};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a lock may take to be free after it was released.
const PATIENCE: Duration = Duration::from_secs(10);

type Granted = Result<Box<dyn LockGrant>, LockError>;

/// What the [lock suite](lock) needs to know of an implementation.
#[async_trait]
pub trait LockRig: Debug + Send + Sync {
    /// A handle on the locks: each time the same ones, by another handle, as another process would have it.
    async fn open(&self) -> Arc<dyn Lock>;

    /// Makes the holder of a workload's lock dead, as if its process had been killed, while its grant is kept. Whether
    /// it could be done.
    async fn kill_holder(&self, workload: &WorkloadId) -> bool {
        let _ = workload;
        false
    }
}

const ONE: Check = Check {
    name: "one-at-a-time",
    proves: "of several who want a lock at once one gets it; the others fail with `Held` and the holder",
    matters: "two deployers change the same workload at the same time",
};

const EPOCHS: Check = Check {
    name: "epochs-grow",
    proves: "the epoch of a grant is larger than all before it for each of its workloads",
    matters: "the former owner is fenced by its smaller epoch only",
};

const ALL: Check = Check {
    name: "all-or-none",
    proves: "`acquire` takes the locks of all its workloads or none; others side by side are not in its way",
    matters: "workloads stay locked by somebody who never began",
};

const SORTED: Check = Check {
    name: "no-deadlock-in-any-order",
    proves: "locks are taken in sorted order: two who name the same workloads in different orders both come to an end",
    matters: "two deployments of the same services wait for each other for ever",
};

const HOLDER: Check = Check {
    name: "the-holder-is-known",
    proves: "`holder` says who holds a lock, with its epoch, and nobody when it is free",
    matters: "a person who finds a locked workload cannot tell whom to ask",
};

const RENEW: Check = Check {
    name: "renew-notices-the-loss",
    proves: "`renew` works for the present grant and fails with `Lost` once somebody else has it",
    matters: "a deployer that was asleep goes on beside its successor",
};

const RELEASED: Check = Check {
    name: "a-dropped-grant-is-free",
    proves: "dropping a grant releases all its locks; one that was taken over frees nothing",
    matters: "the next deployment has to wait for somebody to remove the lock by hand",
};

const DROPPED: Check = Check {
    name: "a-dropped-acquire-holds-nothing",
    proves: "a dropped call of `acquire` holds nothing",
    matters: "a deployer that is stopped while it begins locks its workload for ever",
};

const ALIVE: Check = Check {
    name: "the-living-are-not-robbed",
    proves: "`take_over` fails with `Held` if the owner is alive and the lock can prove it; else the owner is fenced",
    matters: "a second person ends the deployment of the first without knowing",
};

const DEAD: Check = Check {
    name: "the-dead-are-taken-over",
    proves: "`take_over` takes the locks from an owner that is dead, with a larger epoch",
    matters: "after a crash nobody can go on",
};

/// Whether a lock keeps the contract of [`Lock`].
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use deployer_core::{lock::MemoryLock, ports::Lock};
/// use deployer_testkit::conformance::{self, LockRig};
///
/// #[derive(Debug, Default)]
/// struct Rig(MemoryLock);
///
/// #[async_trait]
/// impl LockRig for Rig {
///     async fn open(&self) -> Arc<dyn Lock> {
///         Arc::new(self.0.clone())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// conformance::lock(&Rig::default()).await.assert();
/// # });
/// ```
pub async fn lock(rig: &dyn LockRig) -> ConformanceReport {
    let name = format!("{:?}", rig.open().await);
    let mut suite = Suite::new("Lock", name.split(['(', ' ', '{']).next().unwrap_or_default(), LIMIT);
    suite.run(ONE, one(rig)).await;
    suite.run(EPOCHS, epochs(rig)).await;
    suite.run(ALL, all(rig)).await;
    suite.run(SORTED, sorted(rig)).await;
    suite.run(HOLDER, holder(rig)).await;
    suite.run(RENEW, renew(rig)).await;
    suite.run(RELEASED, released(rig)).await;
    suite.run(DROPPED, dropped(rig)).await;
    suite.run(ALIVE, alive(rig)).await;
    suite.run(DEAD, dead(rig)).await;
    suite.finish()
}

async fn acquire(lock: &dyn Lock, workloads: &[WorkloadId]) -> Granted {
    lock.acquire(workloads, &scope::deployment()).await
}

/// A grant that has to be given, at the latest when a release has been noticed.
async fn granted(lock: &dyn Lock, workloads: &[WorkloadId]) -> Checked<Box<dyn LockGrant>> {
    until(PATIENCE, "a free lock is given", async || {
        Ok(acquire(lock, workloads).await.map_err(|error| report(&error)))
    })
    .await
}

fn held(what: &str, answer: &Granted) -> Checked {
    let right = matches!(answer, Err(LockError::Held { .. }));
    ensure(right, || format!("{what}: {}", in_words(answer)), format!("{what}: `Held`"))
}

fn in_words(answer: &Granted) -> String {
    match answer {
        Ok(grant) => format!("given with epoch {}", grant.epoch()),
        Err(error) => report(error),
    }
}

async fn is_free(lock: &dyn Lock, workload: &WorkloadId) -> Checked {
    until(PATIENCE, "nobody holds it", async || {
        let holder = worked("holder", lock.holder(workload).await)?;
        Ok(holder.map_or(Ok(()), |holder| Err(format!("{workload} is held by {}", holder.owner))))
    })
    .await
}

async fn one(rig: &dyn LockRig) -> Checked {
    let web = [scope::fresh_workload()];
    let handles = join_all((0..8).map(|_| rig.open())).await;
    let answers = join_all(handles.iter().map(|lock| acquire(&**lock, &web))).await;
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    let seen = || answers.iter().map(in_words).collect::<Vec<_>>().join("; ");
    ensure(winners == 1, seen, "one of eight gets it")?;
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        held("one of the others", answer)?;
    }
    held("the handle that has it already", &acquire(&*handles[0], &web).await)
}

async fn epochs(rig: &dyn LockRig) -> Checked {
    let (a, b) = (scope::fresh_workload(), scope::fresh_workload());
    let mut last = Epoch(0);
    for workloads in
        [vec![a.clone()], vec![a.clone()], vec![b.clone(), a.clone()], vec![a.clone()], vec![b, a]]
    {
        let lock = rig.open().await;
        let grant = granted(&*lock, &workloads).await?;
        let seen = || format!("epoch {} after {last}", grant.epoch());
        ensure(grant.epoch() > last, seen, format!("an epoch larger than {last}"))?;
        last = grant.epoch();
    }
    Ok(())
}

async fn all(rig: &dyn LockRig) -> Checked {
    let lock = rig.open().await;
    let names = [scope::fresh_workload(), scope::fresh_workload(), scope::fresh_workload()];
    let middle = granted(&*lock, &names[1..2]).await?;
    held("acquire of three, of which one is held", &acquire(&*lock, &names).await)?;
    is_free(&*lock, &names[0]).await?;
    is_free(&*lock, &names[2]).await?;
    let others = granted(&*rig.open().await, &[names[2].clone(), names[0].clone()]).await?;
    drop((middle, others));
    let twice = [names[0].clone(), names[1].clone(), names[0].clone()];
    granted(&*lock, &twice).await.map(drop)
}

async fn sorted(rig: &dyn LockRig) -> Checked {
    let forth = [scope::fresh_workload(), scope::fresh_workload(), scope::fresh_workload()];
    let mut back = forth.clone();
    back.reverse();
    let (one, other) = (rig.open().await, rig.open().await);
    let wants = async |lock: &dyn Lock, workloads: &[WorkloadId]| {
        for _ in 0..10 {
            drop(granted(lock, workloads).await?);
            // Lets the other one have its turn.
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    let (first, second): (Checked, Checked) = join(wants(&*one, &forth), wants(&*other, &back)).await;
    first.and(second)
}

async fn holder(rig: &dyn LockRig) -> Checked {
    let (lock, web) = (rig.open().await, [scope::fresh_workload()]);
    is_free(&*lock, &web[0]).await?;
    let grant = granted(&*lock, &web).await?;
    for handle in [lock.clone(), rig.open().await] {
        let Some(holder) = worked("holder", handle.holder(&web[0]).await)? else {
            return Err(failed("nobody holds it", "its holder"));
        };
        ensure_eq("epoch of the holder", &holder.epoch, &grant.epoch())?;
        ensure(
            !holder.owner.trim().is_empty() && !holder.dead,
            || format!("{holder:?}"),
            "a living owner by name",
        )?;
    }
    drop(grant);
    is_free(&*rig.open().await, &web[0]).await
}

async fn renew(rig: &dyn LockRig) -> Checked {
    let (lock, web) = (rig.open().await, [scope::fresh_workload(), scope::fresh_workload()]);
    let grant = granted(&*lock, &web).await?;
    let old = grant.epoch();
    for _ in 0..3 {
        worked("renew", lock.renew(&web, old).await)?;
    }
    drop(grant);
    let other = granted(&*rig.open().await, &web[1..]).await?;
    let answer = lock.renew(&web, old).await;
    let seen = || format!("renew with epoch {old} while {} holds: {answer:?}", other.epoch());
    ensure(matches!(answer, Err(LockError::Lost)), seen, "`Lost`")
}

async fn released(rig: &dyn LockRig) -> Checked {
    let (lock, web) = (rig.open().await, [scope::fresh_workload(), scope::fresh_workload()]);
    for _ in 0..3 {
        drop(granted(&*lock, &web).await?);
        is_free(&*lock, &web[0]).await?;
        is_free(&*lock, &web[1]).await?;
    }
    Ok(())
}

async fn dropped(rig: &dyn LockRig) -> Checked {
    for polls in [0, 1, 2, 3, 5] {
        let (lock, web) = (rig.open().await, [scope::fresh_workload(), scope::fresh_workload()]);
        poll_and_drop(lock.acquire(&web, &scope::deployment()), polls).await;
        let again = granted(&*rig.open().await, &web).await?;
        worked("renew", lock.renew(&web, again.epoch()).await)?;
    }
    Ok(())
}

async fn alive(rig: &dyn LockRig) -> Checked {
    let (lock, web) = (rig.open().await, [scope::fresh_workload()]);
    let grant = granted(&*lock, &web).await?;
    let other = rig.open().await;
    let answer = other.take_over(&web, &scope::deployment()).await;
    let Ok(new) = &answer else {
        held("take_over from the living", &answer)?;
        return worked("renew by the living", lock.renew(&web, grant.epoch()).await);
    };
    // It cannot prove that the owner lives: then the owner has to be fenced.
    let seen = || format!("epoch {} after {}", new.epoch(), grant.epoch());
    ensure(new.epoch() > grant.epoch(), seen, "a larger epoch, or `Held`")?;
    let renewed = lock.renew(&web, grant.epoch()).await;
    ensure(matches!(renewed, Err(LockError::Lost)), || format!("{renewed:?}"), "`Lost` for the former owner")
}

async fn dead(rig: &dyn LockRig) -> Checked {
    let (lock, web) = (rig.open().await, [scope::fresh_workload()]);
    let grant = granted(&*lock, &web).await?;
    if !rig.kill_holder(&web[0]).await {
        drop(grant);
        // All that is left to check is that a free lock can be taken over as well.
        let taken = until(PATIENCE, "a free lock is given", async || {
            Ok(lock.take_over(&web, &scope::deployment()).await.map_err(|error| report(&error)))
        });
        drop(taken.await?);
        return Err(not_applicable("the rig cannot make an owner dead; a free lock could be taken over"));
    }
    let old = grant.epoch();
    let new = worked("take_over", rig.open().await.take_over(&web, &scope::deployment()).await)?;
    ensure(new.epoch() > old, || format!("epoch {} after {old}", new.epoch()), "a larger epoch")?;
    let renewed = lock.renew(&web, old).await;
    ensure(
        matches!(renewed, Err(LockError::Lost)),
        || format!("{renewed:?}"),
        "`Lost` for the former owner",
    )?;
    drop(grant);
    let holder = worked("holder", lock.holder(&web[0]).await)?.map(|holder| holder.epoch);
    ensure_eq("holder after the former owner let go", &holder, &Some(new.epoch()))
}
