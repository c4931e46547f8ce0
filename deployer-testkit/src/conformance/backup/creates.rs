//! Keys, and what half-made backups do to them.

use std::time::Duration;

use deployer_core::{
    error::ErrorKind,
    model::Timestamp,
    ports::{Backup, CallContext, RestoreTo, VerifyLevel},
};
use futures::future::join;

use super::{
    rig::BackupRig,
    stage::{Ask, Stage, keys, on, request, unverified},
};
use crate::conformance::check::{
    Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable, poll_and_drop, worked,
};

const SAME: Check = Check {
    name: "the-same-key-is-the-same-backup",
    proves: "`create` is idempotent by key: a complete backup of this key is returned as it is, also when data changed",
    matters: "a deployment that is resumed after its migration would take a backup of the migrated data in the place of \
              the one before",
};

const TOLD: Check = Check {
    name: "a-backup-says-what-it-is",
    proves: "a backup has its key and reason, a checksum with its algorithm, a size, and times in their order",
    matters: "nobody can say how much is lost by a restore, or that what is restored is what was backed up",
};

const FOREIGN: Check = Check {
    name: "a-key-of-another-source-is-refused",
    proves: "`create` fails with `AlreadyExists` if the key is that of a backup of another source, without effect",
    matters: "the backup of one database passes for that of another",
};

const AT_ONCE: Check = Check {
    name: "two-creates-at-once-are-one",
    proves: "`create` is idempotent by key also if it is said twice at the same time",
    matters: "a deployer that was cut off and its successor damage each other's backup",
};

const FAILED: Check = Check {
    name: "a-failed-create-leaves-nothing-half-made",
    proves: "nothing half-made keeps the key: it is not listed, and the next `create` works",
    matters: "half a backup is taken for a whole one, or the repaired deployment cannot make one",
};

const DROPPED: Check = Check {
    name: "a-dropped-create-leaves-nothing-half-made",
    proves: "what is listed after a dropped `create` is whole, and the same key can be made again",
    matters: "half a backup is taken for a whole one, or a resumed deployment cannot make one",
};

const LATE: Check = Check {
    name: "a-late-create-leaves-nothing-half-made",
    proves: "what is listed after a `create` that was not done in time is whole, and the same key can be made again",
    matters: "a backup that took too long is found again as half a one on the day on which it is needed",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn BackupRig) {
    on(suite, rig, SAME, same).await;
    on(suite, rig, TOLD, told).await;
    on(suite, rig, FOREIGN, foreign).await;
    on(suite, rig, AT_ONCE, at_once).await;
    on(suite, rig, FAILED, fails).await;
    on(suite, rig, DROPPED, dropped).await;
    on(suite, rig, LATE, late).await;
}

async fn same(stage: &Stage) -> Checked {
    let first = stage.create("k1").await?;
    stage.stand.change().await;
    ensure_eq("the backup", &stage.create("k1").await?, &first)?;
    let verified = stage.verify(&first, VerifyLevel::Checksum).await?;
    ensure_eq("the backup, as it is recorded now", &stage.create("k1").await?, &verified)?;
    let other = stage.create("k2").await?;
    ensure(other.checksum != first.checksum, || format!("{other:?}"), "other data, another checksum")?;
    ensure_eq("list", &keys(&stage.list().await?), &vec!["k1", "k2"])
}

async fn told(stage: &Stage) -> Checked {
    let made = stage.create("k1").await?;
    let wanted = request("k1");
    ensure_eq("key and reason", &(&made.key, &made.reason), &(&wanted.key, &wanted.reason))?;
    let (algorithm, sum) = made.checksum.split_once(':').unwrap_or_default();
    let seen = || format!("checksum {:?}", made.checksum);
    ensure(!algorithm.is_empty() && !sum.is_empty(), seen, "the algorithm in front: `sha256:…`")?;
    let times = (made.as_of, made.created_at);
    let in_order = Timestamp::from_millis(0) < times.0 && times.0 <= times.1;
    ensure(in_order, || format!("as of {}, created at {}", times.0, times.1), "`as_of` first")?;
    ensure(made.bytes > 0, || "0 bytes", "the size of what is stored")?;
    let source = &made.source;
    let named = !source.kind.trim().is_empty() && !source.identity.trim().is_empty();
    ensure(named, || format!("{source:?}"), "kind and identity of the source")?;
    ensure_eq("verified", &made.verified, &None)
}

async fn foreign(stage: &Stage) -> Checked {
    let Some(foreign) = stage.stand.foreign() else {
        return Err(not_applicable("the rig has no second source"));
    };
    let made = stage.create("k1").await?;
    let answer = stage.answer("create", foreign.create(&stage.context, &request("k1"))).await?;
    let refused = answer.as_ref().is_err_and(|error| error.kind == ErrorKind::AlreadyExists);
    ensure(refused, || format!("{answer:?}"), "`AlreadyExists`")?;
    ensure_eq("list", &stage.list().await?, &vec![made.clone()])?;
    stage.verify(&made, VerifyLevel::Checksum).await.map(drop)
}

async fn at_once(stage: &Stage) -> Checked {
    for key in ["k1", "k2", "k3"] {
        let (one, other) = join(stage.create(key), stage.create(key)).await;
        let one = one?;
        ensure_eq("the second of two", &other?, &one)?;
        let listed = stage.list().await?;
        let times = keys(&listed).iter().filter(|listed| **listed == key).count();
        ensure(times == 1, || format!("{:?}", keys(&listed)), format!("{key} once"))?;
        stage.verify(&one, VerifyLevel::Checksum).await?;
    }
    Ok(())
}

async fn fails(stage: &Stage) -> Checked {
    let Some(failing) = stage.stand.failing() else {
        return Err(not_applicable("the rig has no provider that fails"));
    };
    let wanted = stage.stand.live().await;
    let answer = stage.answer("create", failing.create(&stage.context, &request("k1"))).await?;
    ensure(answer.is_err(), || format!("{answer:?}"), "an error: nothing could be backed up")?;
    for provider in [&stage.provider, &failing] {
        let listed = stage.works("list", provider.list(&stage.context)).await?;
        ensure_eq("list", &keys(&listed), &Vec::new())?;
    }
    is_whole(stage, &wanted, &stage.create("k1").await?).await
}

async fn dropped(stage: &Stage) -> Checked {
    let wanted = stage.stand.live().await;
    for (number, polls) in [0, 1, 2, 3, 5, 8, 13].into_iter().enumerate() {
        let key = format!("k{number}");
        poll_and_drop(stage.provider.create(&stage.context, &request(&key)), polls).await;
        can_be_made_again(stage, &wanted, &key).await?;
    }
    Ok(())
}

async fn late(stage: &Stage) -> Checked<String> {
    let wanted = stage.stand.live().await;
    let mut late = 0;
    for (number, millis) in [0, 1, 2, 4, 8, 16].into_iter().enumerate() {
        let key = format!("k{number}");
        let context = CallContext { deadline: Duration::from_millis(millis), ..stage.context.clone() };
        let answer = stage.answer("create", stage.provider.create(&context, &request(&key))).await?;
        late += u32::from(answer.is_err());
        can_be_made_again(stage, &wanted, &key).await?;
    }
    Ok(format!("{late} of 6 were late"))
}

async fn can_be_made_again(stage: &Stage, wanted: &[u8], key: &str) -> Checked {
    // Only a complete backup is listed, and nothing takes its place.
    let before = stage.list().await?.into_iter().find(|listed| listed.key.as_str() == key);
    if let Some(before) = &before {
        stage.verify(before, VerifyLevel::Checksum).await?;
    }
    let made = stage.create(key).await?;
    if let Some(before) = before {
        ensure_eq("the backup", &unverified(&made), &unverified(&before))?;
    }
    let listed = stage.list().await?;
    let times = keys(&listed).iter().filter(|listed| **listed == key).count();
    ensure(times == 1, || format!("{:?}", keys(&listed)), format!("{key} once"))?;
    is_whole(stage, wanted, &made).await
}

async fn is_whole(stage: &Stage, wanted: &[u8], made: &Backup) -> Checked {
    stage.verify(made, VerifyLevel::Checksum).await?;
    let place = stage.stand.place();
    worked("restore", stage.restore(&Ask::new(made, RestoreTo::New(place.clone()))).await?)?;
    match stage.stand.content(&place).await {
        Some(found) if found == wanted => Ok(()),
        found => {
            let seen =
                found.map_or("nothing".to_owned(), |found| format!("other data: {} bytes", found.len()));
            Err(failed(format!("restored: {seen}"), "exactly what was backed up"))
        }
    }
}
