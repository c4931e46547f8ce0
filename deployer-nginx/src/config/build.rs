//! From a split to the configuration of a workload.

use deployer_core::model::{RouteMatch, Share, Split, WorkloadId};

use super::{
    check::check,
    model::{
        Closed, Keepalive, RouteConfig, Selection, SplitKey, SplitPart, Upstream, UpstreamMember,
        WorkloadConfig,
    },
    weights,
};
use crate::{
    names,
    settings::{NginxSettings, Weighting},
};

/// The message where nothing was applied yet.
const NOBODY: &str = "no instance serves";

/// The configuration that a split becomes.
///
/// # Errors
/// The split cannot be expressed: all problems at once.
pub fn build(
    workload: &WorkloadId,
    generation: u64,
    split: &Split,
    settings: &NginxSettings,
) -> Result<WorkloadConfig, deployer_core::error::Problems> {
    check(split, settings)?;
    let mut config = WorkloadConfig {
        workload: workload.clone(),
        generation,
        upstreams: Vec::new(),
        selection: Selection::Nobody,
        routes: Vec::new(),
        stickiness: settings.stickiness.clone(),
        closed: None,
    };
    match split {
        Split::Maintenance(maintenance) => {
            config.closed = Some(Closed {
                retry_after_seconds: Some(maintenance.retry_after_seconds),
                message: maintenance.message.clone(),
            });
        }
        Split::Serve { shares, routes } => {
            serve(&mut config, shares, settings);
            for route in routes {
                let name = names::set_upstream(workload, &route.set);
                if let Some(share) = split.share(&route.set) {
                    add(&mut config, &name, &[(share, 1)], settings);
                }
                config.routes.push(RouteConfig { matches: normal(&route.matches), upstream: name });
            }
            if config.upstreams.is_empty() {
                config.closed = Some(Closed { retry_after_seconds: None, message: NOBODY.to_owned() });
            }
        }
    }
    Ok(config)
}

/// How the weights of these shares are expressed; `None` if they cannot be.
pub(super) enum Weights {
    /// In one upstream: the weight of each member of each share.
    Members(Vec<u64>),
    /// By `split_clients`: the parts of the shares with a weight, in the order of their sets.
    Parts(Vec<u16>),
}

pub(super) fn upstreams_of(shares: &[Share], settings: &NginxSettings) -> Option<Weights> {
    if settings.weighting == Weighting::Upstream && settings.stickiness.is_none() {
        return weights::of_members(shares).map(Weights::Members);
    }
    weights::in_hundredths(&in_order(shares)).map(Weights::Parts)
}

/// By set: the boundary between two sets then moves only with the weights, whoever was named first.
fn in_order(shares: &[Share]) -> Vec<&Share> {
    let mut weighty: Vec<&Share> = shares.iter().filter(|share| share.weight > 0).collect();
    weighty.sort_by(|one, other| one.set.cmp(&other.set));
    weighty
}

fn serve(config: &mut WorkloadConfig, shares: &[Share], settings: &NginxSettings) {
    if shares.iter().all(|share| share.weight == 0) {
        return;
    }
    match upstreams_of(shares, settings) {
        // It was checked before.
        None => {}
        Some(Weights::Members(weights)) => {
            let name = format!("{}_all", names::workload(&config.workload));
            let weighted: Vec<_> = shares.iter().zip(weights).collect();
            add(config, &name, &weighted, settings);
            config.selection = Selection::Upstream(name);
        }
        Some(Weights::Parts(parts)) => {
            let mut named = Vec::new();
            for (share, hundredths) in in_order(shares).into_iter().zip(parts) {
                let name = names::set_upstream(&config.workload, &share.set);
                add(config, &name, &[(share, 1)], settings);
                named.push(SplitPart { hundredths, upstream: name });
            }
            let key = if settings.stickiness.is_some() { SplitKey::Client } else { SplitKey::Request };
            if let Some(SplitPart { upstream: rest, .. }) = named.pop() {
                config.selection = if named.is_empty() {
                    Selection::Upstream(rest)
                } else {
                    Selection::Split { key, parts: named, rest }
                };
            }
        }
    }
}

/// Names of headers are compared without case.
fn normal(matches: &RouteMatch) -> RouteMatch {
    match matches {
        RouteMatch::Header { name, value } => {
            RouteMatch::Header { name: name.to_ascii_lowercase(), value: value.clone() }
        }
        RouteMatch::Cookie { .. } => matches.clone(),
    }
}

/// Adds an upstream with the members of these shares, unless it is there.
fn add(config: &mut WorkloadConfig, name: &str, shares: &[(&Share, u64)], settings: &NginxSettings) {
    if config.upstreams.iter().any(|upstream| upstream.name == name) {
        return;
    }
    let member = |(address, weight): (std::net::SocketAddr, u64)| UpstreamMember {
        address,
        weight: weight.max(1),
        down: weight == 0,
        max_fails: settings.max_fails,
        fail_timeout_seconds: settings.fail_timeout.as_secs(),
    };
    let addresses = shares.iter().flat_map(|(share, weight)| {
        share.members.iter().filter_map(move |member| Some((member.address?, *weight)))
    });
    let members: Vec<_> = addresses.map(member).collect();
    let keepalive = (settings.keepalive > 0).then(|| Keepalive {
        connections: settings.keepalive,
        idle_milliseconds: u64::try_from(settings.member_idle.as_millis()).unwrap_or(u64::MAX),
    });
    config.upstreams.push(Upstream {
        name: name.to_owned(),
        zone_kibibytes: zone(members.len()),
        members,
        keepalive,
    });
}

/// nginx needs about half a KiB a member, and some for the zone itself.
fn zone(members: usize) -> u32 {
    64 + u32::try_from(members).unwrap_or(u32::MAX / 2)
}
