//! Which splits are refused.

use std::{collections::HashSet, fmt};

use deployer_core::{
    error::Problem,
    model::{RouteMatch, Share, Split},
};
use http::{HeaderName, HeaderValue};

use super::cookie;

/// Why a split was refused: everything that is wrong with it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSplit {
    /// What is wrong, each with its place in the split.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid split")?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSplit {}

pub(super) fn check(split: &Split) -> Result<(), InvalidSplit> {
    let mut problems = Vec::new();
    match split {
        Split::Serve { shares, routes } => {
            check_shares(shares, routes.is_empty(), &mut problems);
            for (index, route) in routes.iter().enumerate() {
                let at = format!("routes[{index}]");
                if split.share(&route.set).is_none() {
                    let message =
                        format!("set {} has no share; give it one, of weight 0 if need be", route.set);
                    problems.push(Problem::new(&at, message));
                }
                check_match(&route.matches, &at, &mut problems);
            }
        }
        Split::Maintenance(_) => {}
    }
    if problems.is_empty() { Ok(()) } else { Err(InvalidSplit { problems }) }
}

fn check_shares(shares: &[Share], without_routes: bool, problems: &mut Vec<Problem>) {
    let mut sets = HashSet::new();
    let mut instances = HashSet::new();
    for (index, share) in shares.iter().enumerate() {
        if !sets.insert(&share.set) {
            let message = format!("set {} has a share already; add the weights", share.set);
            problems.push(Problem::new(format!("shares[{index}]"), message));
        }
        for (position, member) in share.members.iter().enumerate() {
            let at = format!("shares[{index}].members[{position}]");
            if !instances.insert(&member.instance) {
                problems.push(Problem::new(&at, format!("instance {} is a member twice", member.instance)));
            }
            match member.address {
                None => {
                    let message =
                        format!("instance {} has no address; this router needs one", member.instance);
                    problems.push(Problem::new(&at, message));
                }
                Some(address) if address.port() == 0 || address.ip().is_unspecified() => {
                    let message = format!(
                        "instance {} has address {address}, which nobody answers at",
                        member.instance
                    );
                    problems.push(Problem::new(&at, message));
                }
                Some(_) => {}
            }
        }
    }
    let weightless = shares.iter().all(|share| share.weight == 0);
    if weightless && without_routes && shares.iter().any(|share| !share.members.is_empty()) {
        let message =
            "all weights are 0 and there is no route, so nobody is reached; use maintenance to stop traffic";
        problems.push(Problem::new("shares", message));
    }
}

fn check_match(matches: &RouteMatch, at: &str, problems: &mut Vec<Problem>) {
    match matches {
        RouteMatch::Header { name, value } => {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                problems.push(Problem::new(at, format!("{name:?} cannot be the name of a header")));
            }
            // The parser takes the white space around values away, so such a value would never match.
            if HeaderValue::from_str(value).is_err() || value.trim() != value {
                problems.push(Problem::new(at, "the value cannot be that of a header".to_owned()));
            }
        }
        RouteMatch::Cookie { name, value } => {
            if !cookie::is_name(name) {
                problems.push(Problem::new(at, format!("{name:?} cannot be the name of a cookie")));
            }
            if !cookie::is_value(value) {
                problems.push(Problem::new(at, "the value cannot be that of a cookie".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use deployer_core::model::{InstanceId, Member, Route, SetId};

    use super::*;

    fn share(set: &str, weight: u32, members: &[(&str, Option<&str>)]) -> Share {
        let member = |(instance, address): &(&str, Option<&str>)| Member {
            instance: InstanceId::new(instance).unwrap(),
            address: address.map(|address| address.parse().unwrap()),
        };
        Share { set: SetId::new(set).unwrap(), weight, members: members.iter().map(member).collect() }
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let good = Some("127.0.0.1:4000");
        let header = |name: &str, value: &str| RouteMatch::Header { name: name.into(), value: value.into() };
        let cookie = |name: &str, value: &str| RouteMatch::Cookie { name: name.into(), value: value.into() };
        let route = |matches, set| Route { matches, set: SetId::new(set).unwrap() };
        let split = Split::Serve {
            shares: vec![
                share("a", 1, &[("a-1", None), ("a-2", Some("0.0.0.0:1")), ("a-3", Some("127.0.0.1:0"))]),
                share("a", 1, &[("b-1", good), ("b-1", good)]),
            ],
            routes: vec![
                route(header("x canary", "1"), "a"),
                route(header("x-canary", "a\nb"), "a"),
                route(cookie("a=b", "1"), "a"),
                route(cookie("a", "1;2"), "zz"),
            ],
        };
        let places: Vec<_> = check(&split).unwrap_err().problems.into_iter().map(|p| p.at).collect();
        let expected = [
            "shares[0].members[0]",
            "shares[0].members[1]",
            "shares[0].members[2]",
            "shares[1]",
            "shares[1].members[1]",
            "routes[0]",
            "routes[1]",
            "routes[2]",
            "routes[3]",
            "routes[3]",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn weights_must_reach_somebody() {
        let members: &[(&str, Option<&str>)] = &[("a-1", Some("127.0.0.1:4000"))];
        let nobody = Split::Serve { shares: vec![share("a", 0, members)], routes: vec![] };
        assert_eq!(check(&nobody).unwrap_err().problems[0].at, "shares");
        for fine in [
            Split::EMPTY,
            Split::Serve { shares: vec![share("a", 1, members)], routes: vec![] },
            Split::Serve { shares: vec![share("a", 0, &[])], routes: vec![] },
            Split::Serve { shares: vec![share("a", 1, &[])], routes: vec![] },
        ] {
            assert_eq!(check(&fine), Ok(()), "{fine:?}");
        }
    }
}
