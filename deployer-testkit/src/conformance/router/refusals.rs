//! What a router does not take.

use deployer_core::{
    error::ErrorKind,
    model::{Maintenance, Route, RouteMatch, Split},
};

use super::{
    rig::RouterRig,
    stage::{EPOCH, Stage, all_to, on, routed, serve, set, share},
};
use crate::conformance::check::{Check, Checked, Suite, ensure_eq, failed, not_applicable};

const FENCED: Check = Check {
    name: "an-older-epoch-is-refused",
    proves: "`fences`: `apply` with an epoch older than the router has seen fails with `Conflict`, without effect",
    matters: "a deployer that was cut off and comes back sends the traffic to instances that are gone",
};

const TAKES_OVER: Check = Check {
    name: "a-newer-epoch-takes-over",
    proves: "a newer owner may change the split of an older one",
    matters: "after a crash nobody could go on",
};

const NONSENSE: Check = Check {
    name: "what-makes-no-sense-is-refused",
    proves: "`apply` fails with `InvalidInput` for two shares of one set and for a route to a set without a share; the \
             split stays as it was",
    matters: "the router picks one of two meanings, and requests go where nobody meant them to",
};

const INCAPABLE: Check = Check {
    name: "what-it-cannot-do-is-refused",
    proves: "a split that the router cannot express fails with `InvalidInput` or `Unsupported`; the split stays as it was",
    matters: "a canary of one percent silently becomes one of a half",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn RouterRig) {
    on(suite, rig, FENCED, fenced).await;
    on(suite, rig, TAKES_OVER, takes_over).await;
    on(suite, rig, NONSENSE, nonsense).await;
    on(suite, rig, INCAPABLE, incapable).await;
}

async fn fenced(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().fences {
        return Err(not_applicable("it does not claim `fences`"));
    }
    let split = all_to("v1", &stage.members("v1", 1).await);
    let view = stage.switch(&split).await?;
    let other = all_to("v2", &stage.members("v2", 1).await);
    refused(stage, EPOCH - 1, &other, &[ErrorKind::Conflict]).await?;
    refused(stage, EPOCH - 1, &split, &[ErrorKind::Conflict]).await?;
    ensure_eq("after the refusal", &stage.current().await?, &view)
}

async fn takes_over(stage: &Stage<'_>) -> Checked {
    stage.switch(&all_to("v1", &stage.members("v1", 1).await)).await?;
    let split = all_to("v2", &stage.members("v2", 1).await);
    crate::conformance::check::worked(
        "apply with a newer epoch",
        stage.apply(&stage.at_epoch(EPOCH + 3), &split).await?,
    )?;
    stage.settled(&split).await?;
    if stage.capabilities().fences {
        refused(stage, EPOCH, &all_to("v1", &[]), &[ErrorKind::Conflict]).await?;
        ensure_eq("split", &stage.current().await?.split, &split)?;
    }
    Ok(())
}

async fn nonsense(stage: &Stage<'_>) -> Checked {
    let members = stage.members("v1", 2).await;
    let view = stage.switch(&all_to("v1", &members)).await?;
    let (one, other) = members.split_at(1);
    let mut splits = vec![serve(vec![share("v1", 1, one), share("v1", 1, other)])];
    if stage.capabilities().header_routes {
        splits.push(routed(vec![share("v1", 1, &members)], vec![header_route("v9")]));
    }
    for split in &splits {
        refused(stage, EPOCH, split, &[ErrorKind::InvalidInput]).await?;
        ensure_eq("after the refusal", &stage.current().await?, &view)?;
    }
    Ok(())
}

async fn incapable(stage: &Stage<'_>) -> Checked {
    let can = stage.capabilities();
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let shares = || vec![share("v1", 90, &old), share("v2", 90, &new)];
    let cookie = RouteMatch::Cookie { name: "lane".to_owned(), value: "new".to_owned() };
    let cookie_route = Route { matches: cookie, set: set("v2") };
    let cases = [
        (can.weights, serve(vec![share("v1", 90, &old), share("v2", 10, &new)])),
        (can.header_routes, routed(shares(), vec![header_route("v2")])),
        (can.cookie_routes, routed(shares(), vec![cookie_route])),
        (can.maintenance, Split::Maintenance(Maintenance::default())),
    ];
    let impossible: Vec<_> = cases.iter().filter(|(can, _)| !can).map(|(_, split)| split).collect();
    if impossible.is_empty() {
        return Err(not_applicable("it claims to express every split"));
    }
    let view = stage.switch(&all_to("v1", &old)).await?;
    for split in impossible {
        refused(stage, EPOCH, split, &[ErrorKind::InvalidInput, ErrorKind::Unsupported]).await?;
        ensure_eq("after the refusal", &stage.current().await?, &view)?;
    }
    Ok(())
}

async fn refused(stage: &Stage<'_>, epoch: u64, split: &Split, kinds: &[ErrorKind]) -> Checked {
    match stage.apply(&stage.at_epoch(epoch), split).await? {
        Err(error) if kinds.contains(&error.kind) => Ok(()),
        Err(error) => Err(failed(format!("{:?}: {}", error.kind, error.report()), format!("{kinds:?}"))),
        Ok(()) => Err(failed(format!("{split:?} with epoch {epoch} was accepted"), format!("{kinds:?}"))),
    }
}

fn header_route(to: &str) -> Route {
    let matches = RouteMatch::Header { name: "x-lane".to_owned(), value: "new".to_owned() };
    Route { matches, set: set(to) }
}
