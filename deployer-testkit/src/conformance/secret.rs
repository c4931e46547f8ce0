//! The suite for secret sources.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use deployer_core::{error::ErrorKind, model::SecretRef, ports::SecretSource};

use super::{
    ConformanceReport,
    check::{Check, Checked, Suite, ensure, failed, not_applicable, poll_and_drop},
    scope,
};

/// What the [secret suite](secrets) needs to know of an implementation.
#[async_trait]
pub trait SecretRig: Debug + Send + Sync {
    /// The source.
    async fn source(&self) -> Arc<dyn SecretSource>;

    /// A secret that it has, and its value, which should be nothing that stands anywhere by chance.
    fn known(&self) -> (SecretRef, String);

    /// Gives the known secret another value, and returns that. `None` if it cannot be done.
    async fn rotate(&self) -> Option<String> {
        None
    }

    /// A source as this one that cannot reach its store; `None` if there is nothing to reach.
    async fn unreachable(&self) -> Option<Arc<dyn SecretSource>> {
        None
    }

    /// How long a call may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

const VALUE: Check = Check {
    name: "a-secret-has-its-value",
    proves: "`resolve` gives the present value, each time",
    matters: "instances start with a password that is wrong, and fail",
};

const NOT_FOUND: Check = Check {
    name: "no-secret-is-not-an-empty-one",
    proves: "`resolve` fails with `NotFound` if there is no secret of this name",
    matters: "an instance starts with an empty password",
};

const NAMES: Check = Check {
    name: "hostile-names-are-names",
    proves: "a reference is looked up as it is: it is no path, no option, no piece of a URL",
    matters: "a release can read what it was not given",
};

const SILENT: Check = Check {
    name: "nothing-shows-the-value",
    proves: "secrets appear in no `Debug`, `Display` or error",
    matters: "the value stands in a log, and from there everywhere",
};

const ROTATED: Check = Check {
    name: "a-new-value-is-seen",
    proves: "secrets are asked for when they are needed: a value that was changed is seen by the next call",
    matters: "after a leak the old password goes on being handed out",
};

const UNREACHABLE: Check = Check {
    name: "a-store-that-is-down-is-no-missing-secret",
    proves: "a store that cannot be reached is `Unavailable` or `TimedOut`, worth another try, not `NotFound`",
    matters: "a rollout is given up for good because of a moment without network",
};

/// Whether a secret source keeps the contract of [`SecretSource`].
pub async fn secrets(rig: &dyn SecretRig) -> ConformanceReport {
    let source = rig.source().await;
    let name = format!("{source:?}");
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    let mut suite = Suite::new("SecretSource", name, rig.patience() * 6);
    suite.run(VALUE, value(rig, &*source)).await;
    suite.run(NOT_FOUND, not_found(rig, &*source, &["nobody-knows-me"])).await;
    let hostile =
        ["", "..", "../../etc/passwd", "/etc/passwd", "-h", "a\0b", "a\nb", "${HOME}", "x?y=z#f", "*"];
    suite.run(NAMES, not_found(rig, &*source, &hostile)).await;
    suite.run(SILENT, silent(rig, &*source)).await;
    suite.run(ROTATED, rotated(rig, &*source)).await;
    suite.run(UNREACHABLE, unreachable(rig)).await;
    suite.finish()
}

async fn value(rig: &dyn SecretRig, source: &dyn SecretSource) -> Checked {
    let (name, value) = rig.known();
    for polls in [0, 1, 2, 3] {
        poll_and_drop(source.resolve(&name), polls).await;
        let secret = scope::works("resolve", rig.patience(), source.resolve(&name)).await?;
        // The report must not show it either.
        ensure(secret.expose() == value, || "another value", "the value that the rig knows")?;
    }
    Ok(())
}

async fn not_found(rig: &dyn SecretRig, source: &dyn SecretSource, names: &[&str]) -> Checked {
    for name in names {
        let reference = SecretRef((*name).to_owned());
        match scope::within("resolve", rig.patience(), source.resolve(&reference)).await? {
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidInput) => {}
            Err(error) => {
                return Err(failed(format!("{name:?}: {:?}: {}", error.kind, error.report()), "`NotFound`"));
            }
            Ok(_) => return Err(failed(format!("{name:?} has a value"), "`NotFound`")),
        }
    }
    Ok(())
}

async fn silent(rig: &dyn SecretRig, source: &dyn SecretSource) -> Checked {
    let (name, value) = rig.known();
    let secret = scope::works("resolve", rig.patience(), source.resolve(&name)).await?;
    let stranger = SecretRef(format!("{}-of-nobody", name.0));
    let refused = scope::within("resolve", rig.patience(), source.resolve(&stranger)).await?;
    let error = refused.map(drop).map_err(|error| format!("{error:?} {}", error.report())).err();
    let texts = [
        ("`Debug` of the source", format!("{source:?}")),
        ("the value itself, printed", format!("{secret:?} {secret}")),
        ("an error", error.unwrap_or_default()),
    ];
    for (place, text) in texts {
        ensure(!text.contains(&value), || format!("{place} shows the value"), "nothing of the value")?;
    }
    Ok(())
}

async fn rotated(rig: &dyn SecretRig, source: &dyn SecretSource) -> Checked {
    let (name, _) = rig.known();
    scope::works("resolve", rig.patience(), source.resolve(&name)).await?;
    let Some(value) = rig.rotate().await else {
        return Err(not_applicable("the rig cannot change a secret"));
    };
    let secret = scope::works("resolve", rig.patience(), source.resolve(&name)).await?;
    ensure(secret.expose() == value, || "the old value, or another", "the new value")
}

async fn unreachable(rig: &dyn SecretRig) -> Checked {
    let Some(source) = rig.unreachable().await else {
        return Err(not_applicable("the rig has no store that cannot be reached"));
    };
    match scope::within("resolve", rig.patience(), source.resolve(&rig.known().0)).await? {
        Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut) => Ok(()),
        Err(error) => {
            Err(failed(format!("{:?}: {}", error.kind, error.report()), "`Unavailable` or `TimedOut`"))
        }
        Ok(_) => Err(failed("it has a value", "`Unavailable` or `TimedOut`")),
    }
}
