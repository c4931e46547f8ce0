//! Which splits are refused.

use std::collections::HashSet;

use deployer_core::{
    error::{Problem, Problems},
    model::{Member, Route, RouteMatch, Share, Split},
};

use crate::settings::NginxSettings;

/// What has a meaning in the configuration language. Values are encoded where they are written; that they have none of
/// these is the second lock of the same door.
const HOSTILE: &[char] = &[';', '{', '}', '$', '"', '\\'];

/// Members and bytes that a file may have: far above what anybody routes to, and far below what hurts.
const MOST_MEMBERS: usize = 10_000;
const LONGEST_TEXT: usize = 1000;

/// Whether nginx can express a split, all problems at once. Nothing is written.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(split: &Split, settings: &NginxSettings) -> Result<(), Problems> {
    let mut problems = problems(split);
    if let Split::Serve { shares, .. } = split
        && problems.is_empty()
        && super::build::upstreams_of(shares, settings).is_none()
    {
        let message = "the weights cannot be expressed by nginx: it takes parts of at least 0.01 % with \
                       `split_clients`, and sums up to 2^53 otherwise";
        problems.push(Problem::new("shares", message));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// What no router of nginx takes, whatever its weights become.
pub(crate) fn problems(split: &Split) -> Vec<Problem> {
    let mut problems = Vec::new();
    match split {
        Split::Serve { shares, routes } => {
            check_shares(shares, routes, &mut problems);
            check_routes(split, routes, &mut problems);
        }
        Split::Maintenance(maintenance) => {
            if let Some(why) = unusable(&maintenance.message) {
                problems.push(Problem::new("maintenance.message", why));
            }
        }
    }
    problems
}

fn check_shares(shares: &[Share], routes: &[Route], problems: &mut Vec<Problem>) {
    let mut sets = HashSet::new();
    let mut instances = HashSet::new();
    for (index, share) in shares.iter().enumerate() {
        let at = format!("shares[{index}]");
        if !sets.insert(&share.set) {
            problems
                .push(Problem::new(&at, format!("set {} has a share already; add the weights", share.set)));
        }
        let is_target = routes.iter().any(|route| route.set == share.set);
        if share.members.is_empty() && (share.weight > 0 || is_target) {
            let message = format!(
                "set {} would get requests and has no active member; give it one, or apply maintenance",
                share.set
            );
            problems.push(Problem::new(&at, message));
        }
        for (position, member) in share.members.iter().enumerate() {
            let at = format!("shares[{index}].members[{position}]");
            if !instances.insert(&member.instance) {
                problems.push(Problem::new(&at, format!("instance {} is a member twice", member.instance)));
            }
            if let Some(why) = unreachable(member) {
                problems.push(Problem::new(&at, why));
            }
        }
    }
    if instances.len() > MOST_MEMBERS {
        problems.push(Problem::new("shares", format!("more than {MOST_MEMBERS} members")));
    }
    let weightless = shares.iter().all(|share| share.weight == 0);
    if weightless && routes.is_empty() && !instances.is_empty() {
        let message =
            "all weights are 0 and there is no route, so nobody is reached; use maintenance to stop traffic";
        problems.push(Problem::new("shares", message));
    }
}

fn unreachable(member: &Member) -> Option<String> {
    let instance = &member.instance;
    match member.address {
        None => Some(format!("instance {instance} has no address; this router needs one")),
        Some(address) if address.port() == 0 || address.ip().is_unspecified() => {
            Some(format!("instance {instance} has address {address}, which nobody answers at"))
        }
        Some(std::net::SocketAddr::V6(address)) if address.scope_id() != 0 || address.flowinfo() != 0 => {
            Some(format!("instance {instance} has address {address}; nginx takes no zone of an address"))
        }
        Some(_) => None,
    }
}

fn check_routes(split: &Split, routes: &[Route], problems: &mut Vec<Problem>) {
    if routes.len() > 100 {
        problems.push(Problem::new("routes", "more than 100 routes"));
    }
    for (index, route) in routes.iter().enumerate() {
        let at = format!("routes[{index}]");
        if split.share(&route.set).is_none() {
            let message = format!("set {} has no share; give it one, of weight 0 if need be", route.set);
            problems.push(Problem::new(&at, message));
        }
        let (name_is_right, what, value) = match &route.matches {
            RouteMatch::Header { name, value } => (is_header(name), "header", value),
            RouteMatch::Cookie { name, value } => (is_cookie(name), "cookie", value),
        };
        if !name_is_right {
            let message = match &route.matches {
                RouteMatch::Header { name, .. } => {
                    format!(
                        "{name:?} cannot be the name of a header here: nginx drops others than [A-Za-z0-9-]"
                    )
                }
                RouteMatch::Cookie { name, .. } => {
                    format!("{name:?} cannot be the name of a cookie here; use [A-Za-z0-9._-]")
                }
            };
            problems.push(Problem::new(&at, message));
        }
        if let Some(why) = unusable_value(&route.matches, value) {
            problems.push(Problem::new(&at, format!("the value of the {what} {why}")));
        }
    }
}

fn is_header(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_cookie(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=100).contains(&name.len()) && name.bytes().all(allowed)
}

fn unusable_value(matches: &RouteMatch, value: &str) -> Option<String> {
    if let Some(c) = value.chars().find(|c| !c.is_ascii() || *c == '\'') {
        return Some(format!("has {c:?}, which this router does not take there"));
    }
    if value.trim() != value {
        return Some("begins or ends with white space, so it would never match".to_owned());
    }
    let apart = |c: char| c.is_whitespace() || c == ',';
    match (matches, value.chars().find(|c| apart(*c))) {
        (RouteMatch::Cookie { .. }, Some(c)) => Some(format!("has {c:?}, which no cookie has")),
        (RouteMatch::Header { .. }, _) if value.is_empty() => {
            Some("is empty, which every request without the header has too".to_owned())
        }
        _ => unusable(value),
    }
}

fn unusable(text: &str) -> Option<String> {
    if text.len() > LONGEST_TEXT {
        return Some(format!("has {} bytes; {LONGEST_TEXT} are allowed", text.len()));
    }
    let found = text.chars().find(|c| c.is_control() || HOSTILE.contains(c))?;
    Some(format!("has {found:?}, which means something to nginx; leave it out"))
}
