//! Preparing releases.

use deployer_core::{
    error::{BackendError, ErrorKind, Retry},
    model::{Artifact, Release},
};

use super::{
    rig::{ReleaseKind, TargetRig},
    stage::{Stage, in_words, on},
};
use crate::conformance::{
    check::{Check, Checked, Suite, ensure, ensure_eq, failed, not_applicable},
    scope,
};

const STABLE: Check = Check {
    name: "the-same-release-is-the-same-artifact",
    proves: "`prepare` resolves the same release to the same artifact, another one to another, and touches no instance",
    matters: "the artifact is pinned in the journal and compared with every instance: if it changes, instances that \
              are right are replaced, or instances that are wrong are trusted",
};

const MISSING: Check = Check {
    name: "a-missing-artifact-is-refused-for-good",
    proves: "`prepare` fails with `NotFound` or `InvalidInput`, not to be retried, for an artifact that does not exist",
    matters: "a release that cannot start has to be refused before anything is touched; an error that looks passing is \
              retried until the deadline",
};

const CONFIG: Check = Check {
    name: "a-wrong-config-is-refused-with-all-problems",
    proves: "`prepare` fails with `InvalidInput` for a config that this target does not understand, with all problems",
    matters: "a field that is silently ignored runs something else than was asked for; problems told one at a time \
              cost a person one try each",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn TargetRig) {
    on(suite, rig, STABLE, stable).await;
    on(suite, rig, MISSING, missing).await;
    on(suite, rig, CONFIG, wrong_config).await;
}

async fn stable(stage: &Stage<'_>) -> Checked {
    let first = stage.pin("v1", ReleaseKind::Good).await?;
    let again = stage.pin("v1", ReleaseKind::Good).await?;
    ensure_eq("artifact", &again.artifact, &first.artifact)?;
    let other = stage.pin("v1", ReleaseKind::OtherGood).await?;
    let same = other.artifact.digest == first.artifact.digest;
    ensure(!same, || format!("both resolve to {}", first.artifact.digest), "other content, another digest")?;
    let left: Vec<_> = stage.observe().await?.sets.into_iter().flat_map(|set| set.instances).collect();
    ensure(left.is_empty(), || in_words(&left), "no instance: nothing was applied")
}

async fn missing(stage: &Stage<'_>) -> Checked {
    let Some(release) = stage.rig.release(scope::release_id("v1"), ReleaseKind::Missing) else {
        return Err(not_applicable("the rig has no release of kind Missing"));
    };
    let error = refusal(stage, &release).await?;
    let expected = "`NotFound` or `InvalidInput`, with `Retry::Never`";
    let right = matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidInput);
    let seen = || format!("{:?}, {:?}: {}", error.kind, error.retry, error.report());
    ensure(right && error.retry == Retry::Never, seen, expected)
}

async fn wrong_config(stage: &Stage<'_>) -> Checked {
    let Some((release, words)) = stage.rig.wrong_config(scope::release_id("v1")) else {
        return Err(not_applicable("the rig has no wrong config"));
    };
    let error = refusal(stage, &release).await?;
    ensure_eq("kind of error", &error.kind, &ErrorKind::InvalidInput)?;
    let report = error.report();
    let forgotten: Vec<_> = words.iter().filter(|word| !report.contains(*word)).collect();
    ensure(forgotten.is_empty(), || format!("{forgotten:?} not in {report:?}"), "all problems at once")?;
    let left = stage.observe().await?.sets;
    ensure(left.iter().all(|set| set.instances.is_empty()), || format!("{left:?}"), "no effect")
}

async fn refusal(stage: &Stage<'_>, release: &Release) -> Checked<BackendError> {
    let context = stage.context();
    let call = stage.target.prepare(&context, release);
    match scope::within("prepare", stage.rig.patience(), call).await? {
        Err(error) => Ok(error),
        Ok(Artifact { digest, .. }) => Err(failed(format!("it resolved to {digest}"), "it is refused")),
    }
}
