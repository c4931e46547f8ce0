//! Where requests really go.

use deployer_core::model::{Maintenance, Route, RouteMatch, Split};
use futures::future::join;

use super::{
    rig::RouterRig,
    stage::{Stage, all_to, count, on, routed, serve, set, share},
};
use crate::conformance::check::{Check, Checked, Suite, ensure, not_applicable};

/// Requests of a check that counts: one that has 20 of 100 by right has more than 35 or fewer than 5 once in 10 000 runs.
const REQUESTS: usize = 200;

const MEMBERS: Check = Check {
    name: "members-get-requests-and-nobody-else",
    proves: "after the proof every member of the split gets requests, and nobody who left it",
    matters: "an old instance is stopped after the proof: whatever it still gets is lost",
};

const SWITCH: Check = Check {
    name: "a-switch-loses-no-request",
    proves: "while the split changes every request is answered by a member of the old one or of the new one",
    matters: "this is what a deployment without loss rests on",
};

const WEIGHTS: Check = Check {
    name: "weights-hold",
    proves: "`weights`: a set gets its part of the sum of all weights; none with weight 0",
    matters: "a canary of one percent is a canary because 99 percent are safe",
};

const HEADER: Check = Check {
    name: "header-routes-hold",
    proves: "`header_routes`: a request with exactly this value goes to that set, every other one by the weights",
    matters: "testers reach the old version and believe that the new one works, or customers reach the new one",
};

const COOKIE: Check = Check {
    name: "cookie-routes-hold",
    proves: "`cookie_routes`: a request with exactly this cookie goes to that set, every other one by the weights",
    matters: "a visitor changes versions from one request to the next",
};

const MAINTENANCE: Check = Check {
    name: "maintenance-answers",
    proves: "`maintenance`: the router answers itself, with status 503",
    matters: "recreate stops everything behind it: without an answer clients see broken connections",
};

pub(super) async fn run(suite: &mut Suite, rig: &dyn RouterRig) {
    on(suite, rig, MEMBERS, members).await;
    on(suite, rig, SWITCH, switch).await;
    on(suite, rig, WEIGHTS, weights).await;
    on(suite, rig, HEADER, header).await;
    on(suite, rig, COOKIE, cookie).await;
    on(suite, rig, MAINTENANCE, maintenance).await;
}

async fn members(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 2).await);
    stage.switch(&all_to("v1", &old)).await?;
    let tally = stage.tally(20).await?;
    let served = old.iter().all(|member| tally.contains_key(&member.instance));
    ensure(
        served && count(&tally, &old) == 20,
        || format!("{tally:?}"),
        "all requests, by every member of v1",
    )?;
    stage.switch(&all_to("v2", &new)).await?;
    let tally = stage.tally(50).await?;
    ensure(count(&tally, &new) == 50, || format!("{tally:?}"), "all requests by members of v2")?;
    if stage.capabilities().members {
        stage.switch(&all_to("v2", &new[1..])).await?;
        let tally = stage.tally(50).await?;
        let seen = || format!("{tally:?}");
        ensure(count(&tally, &new[1..]) == 50, seen, format!("only {}", new[1].instance))?;
    }
    Ok(())
}

async fn switch(stage: &Stage<'_>) -> Checked {
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 2).await);
    let splits = [all_to("v1", &old), all_to("v2", &new)];
    stage.switch(&splits[0]).await?;
    let switches = async {
        for number in 1..=10 {
            stage.shift(&splits[number % 2]).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (applied, asked): (Checked, _) = join(switches, stage.tally(REQUESTS)).await;
    applied?;
    let tally = asked?;
    let all = [old, new].concat();
    ensure(count(&tally, &all) == REQUESTS, || format!("{tally:?}"), "only members of the two splits")
}

async fn weights(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().weights {
        return Err(not_applicable("it does not claim `weights`"));
    }
    let (old, new) = (stage.members("v1", 2).await, stage.members("v2", 1).await);
    for (weight, least, most) in [(80, 25, 60), (0, 0, 0)] {
        // 20 parts of a hundred; then everything.
        let rest = 100 - weight;
        stage.switch(&serve(vec![share("v1", weight, &old), share("v2", rest, &new)])).await?;
        let tally = stage.tally(REQUESTS).await?;
        let (to_old, to_new) = (count(&tally, &old), count(&tally, &new));
        let right = if weight == 0 { to_old == 0 } else { (least..=most).contains(&to_new) };
        let seen = || format!("{to_old} requests to v1 and {to_new} to v2");
        ensure(right, seen, format!("weights {weight} and {rest}, of {REQUESTS} requests"))?;
    }
    Ok(())
}

async fn header(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().header_routes {
        return Err(not_applicable("it does not claim `header_routes`"));
    }
    let matches = RouteMatch::Header { name: "x-lane".to_owned(), value: "new".to_owned() };
    let others: [&[(&str, &str)]; 3] = [&[], &[("x-lane", "old")], &[("x-lane", "newer")]];
    lanes(stage, matches, &[("X-Lane", "new")], &others).await
}

async fn cookie(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().cookie_routes {
        return Err(not_applicable("it does not claim `cookie_routes`"));
    }
    let matches = RouteMatch::Cookie { name: "lane".to_owned(), value: "new".to_owned() };
    let others: [&[(&str, &str)]; 3] = [&[], &[("cookie", "lane=old")], &[("cookie", "x=lane; islane=new")]];
    lanes(stage, matches, &[("cookie", "a=b; lane=new")], &others).await
}

/// Requests that match reach a set of weight 0, all others the set that has all weight.
async fn lanes(
    stage: &Stage<'_>,
    matches: RouteMatch,
    hit: &[(&str, &str)],
    misses: &[&[(&str, &str)]],
) -> Checked {
    let (old, new) = (stage.members("v1", 1).await, stage.members("v2", 1).await);
    let route = Route { matches, set: set("v2") };
    stage.switch(&routed(vec![share("v1", 1, &old), share("v2", 0, &new)], vec![route])).await?;
    for _ in 0..10 {
        for headers in misses.iter().copied().chain([hit]) {
            let wanted = if headers == hit { &new[0] } else { &old[0] };
            let answer = stage.ask(headers).await?;
            let right = answer.status == 200 && answer.by.as_ref() == Some(&wanted.instance);
            ensure(
                right,
                || format!("{headers:?}: {answer:?}"),
                format!("an answer of {}", wanted.instance),
            )?;
        }
    }
    Ok(())
}

async fn maintenance(stage: &Stage<'_>) -> Checked {
    if !stage.capabilities().maintenance {
        return Err(not_applicable("it does not claim `maintenance`"));
    }
    let members = stage.members("v1", 1).await;
    stage.switch(&all_to("v1", &members)).await?;
    stage.switch(&Split::Maintenance(Maintenance::default())).await?;
    for _ in 0..5 {
        let answer = stage.ask(&[]).await?;
        let right = answer.status == 503 && answer.by.is_none();
        ensure(right, || format!("{answer:?}"), "status 503 by the router itself")?;
    }
    stage.switch(&all_to("v1", &members)).await?;
    stage.tally(5).await.map(drop)
}
