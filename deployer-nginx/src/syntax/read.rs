//! Reads the configuration of a workload back into values.

use deployer_core::model::{RouteMatch, WorkloadId};

use super::tree::{Directive, parse};
use crate::{
    config::{
        Closed, Keepalive, RouteConfig, Selection, SplitKey, SplitPart, Upstream, UpstreamMember,
        WorkloadConfig,
    },
    settings::Stickiness,
};

/// Reads the configuration of a workload as nginx would understand it; `None` if it is anything else, or if it holds
/// anything more.
pub fn read_workload(workload: &WorkloadId, text: &str) -> Option<WorkloadConfig> {
    let mut rest = parse(text).ok()?;
    let base = base(&rest)?;
    let mut upstreams = Vec::new();
    while rest.first().is_some_and(|directive| directive.name == "upstream") {
        upstreams.push(upstream(&rest.remove(0))?);
    }
    let mut maps = Maps { base, rest };
    let generation = maps.constant("gen")?.parse().ok()?;
    let closed = match maps.constant("maint")?.as_str() {
        "" => None,
        "1" => Some(()),
        _ => return None,
    };
    let (retry_after, message) = (maps.constant("retry")?, maps.constant("message")?);
    let retry_after_seconds = if retry_after.is_empty() { None } else { Some(retry_after.parse().ok()?) };
    let closed = match closed {
        Some(()) => Some(Closed { retry_after_seconds, message }),
        None if retry_after_seconds.is_none() && message.is_empty() => None,
        None => return None,
    };
    let stickiness = maps.stickiness()?;
    let split = maps.split()?;
    let mut routes = Vec::new();
    let mut next = Vec::new();
    while let Some((route, otherwise)) = maps.route(routes.len()) {
        routes.push(route);
        next.push(otherwise);
    }
    let first = maps.constant("upstream")?;
    let selected = chain(&maps.base, first, &next)?;
    let selection = match (split, selected) {
        (Some(split), name) if name == maps.variable("split") => split,
        (None, name) if name.is_empty() => Selection::Nobody,
        (None, name) if upstreams.iter().any(|upstream| upstream.name == name) => Selection::Upstream(name),
        _ => return None,
    };
    maps.rest.is_empty().then_some(())?;
    let workload = workload.clone();
    Some(WorkloadConfig { workload, generation, upstreams, selection, routes, stickiness, closed })
}

/// What all names begin with.
fn base(directives: &[Directive]) -> Option<String> {
    let is_generation = |directive: &&Directive| {
        directive.name == "map" && directive.arguments.get(1).is_some_and(|name| name.ends_with("_gen"))
    };
    let variable = &directives.iter().find(is_generation)?.arguments[1];
    Some(variable.strip_prefix('$')?.strip_suffix("_gen")?.to_owned())
}

/// Each route has to lead to the next one, and the last one to what is selected by weights, which is the result.
fn chain(base: &str, first: String, next: &[String]) -> Option<String> {
    let mut at = first;
    for (index, otherwise) in next.iter().enumerate() {
        (at == format!("${base}_route{index}")).then_some(())?;
        at.clone_from(otherwise);
    }
    Some(at)
}

fn words(directive: &Directive) -> Vec<&str> {
    directive.arguments.iter().map(String::as_str).collect()
}

fn upstream(directive: &Directive) -> Option<Upstream> {
    let [name] = words(directive)[..] else { return None };
    let mut found =
        Upstream { name: name.to_owned(), zone_kibibytes: 0, members: Vec::new(), keepalive: None };
    let mut connections = None;
    let mut idle = None;
    for inner in directive.block.as_ref()? {
        match (inner.name.as_str(), &words(inner)[..]) {
            ("zone", [zone, size]) if *zone == name => {
                found.zone_kibibytes = size.strip_suffix('k')?.parse().ok()?;
            }
            ("server", [address, parameters @ ..]) => found.members.push(member(address, parameters)?),
            ("keepalive", [number]) => connections = Some(number.parse().ok()?),
            ("keepalive_timeout", [time]) => idle = Some(time.strip_suffix("ms")?.parse().ok()?),
            _ => return None,
        }
    }
    found.keepalive = match (connections, idle) {
        (None, None) => None,
        (Some(connections), Some(idle_milliseconds)) => Some(Keepalive { connections, idle_milliseconds }),
        _ => return None,
    };
    Some(found)
}

fn member(address: &str, parameters: &[&str]) -> Option<UpstreamMember> {
    let mut member = UpstreamMember {
        address: address.parse().ok()?,
        weight: 1,
        down: false,
        max_fails: 1,
        fail_timeout_seconds: 10,
    };
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("weight", value)) => member.weight = value.parse().ok()?,
            Some(("max_fails", value)) => member.max_fails = value.parse().ok()?,
            Some(("fail_timeout", value)) => {
                member.fail_timeout_seconds = value.strip_suffix('s')?.parse().ok()?;
            }
            None if *parameter == "down" => member.down = true,
            _ => return None,
        }
    }
    Some(member)
}

struct Maps {
    base: String,
    rest: Vec<Directive>,
}

impl Maps {
    fn variable(&self, name: &str) -> String {
        format!("${}_{name}", self.base)
    }

    /// Takes the block that sets this variable: its source, and the pairs in it.
    fn take(&mut self, kind: &str, name: &str) -> Option<(String, Vec<(String, String)>)> {
        let variable = self.variable(name);
        let is_it =
            |directive: &Directive| directive.name == kind && directive.arguments.get(1) == Some(&variable);
        let position = self.rest.iter().position(is_it)?;
        let directive = self.rest.remove(position);
        let [source, _] = &directive.arguments[..] else { return None };
        let pair = |inner: &Directive| match (&inner.arguments[..], &inner.block) {
            ([value], None) => Some((inner.name.clone(), value.clone())),
            _ => None,
        };
        Some((source.clone(), directive.block.as_ref()?.iter().map(pair).collect::<Option<_>>()?))
    }

    fn constant(&mut self, name: &str) -> Option<String> {
        let (source, mut pairs) = self.take("map", name)?;
        let (key, value) = pairs.pop()?;
        (source.is_empty() && pairs.is_empty() && key == "default").then_some(value)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one is whether it could be read, the inner one what was"
    )]
    fn stickiness(&mut self) -> Option<Option<Stickiness>> {
        let Some((source, client)) = self.take("map", "client") else { return Some(None) };
        let cookie = source.strip_prefix("$cookie_")?.to_owned();
        let pattern = "~^[0-9a-f]{32}$".to_owned();
        let expected = [(pattern.clone(), source.clone()), ("default".to_owned(), "$request_id".to_owned())];
        (client == expected).then_some(())?;
        let (same, pairs) = self.take("map", "cookie")?;
        let [known, (default, header)] = &pairs[..] else { return None };
        (same == source && *known == (pattern, String::new()) && default == "default").then_some(())?;
        let mut parts = header.split("; ");
        (parts.next()? == format!("{cookie}=$request_id") && parts.next()? == "Path=/").then_some(())?;
        let seconds = parts.next()?.strip_prefix("Max-Age=")?.parse().ok()?;
        (parts.collect::<Vec<_>>() == ["HttpOnly", "SameSite=Lax"]).then_some(())?;
        Some(Some(Stickiness { cookie, max_age: std::time::Duration::from_secs(seconds) }))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one is whether it could be read, the inner one what was"
    )]
    fn split(&mut self) -> Option<Option<Selection>> {
        let Some((source, mut pairs)) = self.take("split_clients", "split") else { return Some(None) };
        let key = match source.as_str() {
            "$request_id" => SplitKey::Request,
            name if name == self.variable("client") => SplitKey::Client,
            _ => return None,
        };
        let (star, rest) = pairs.pop()?;
        (star == "*").then_some(())?;
        let part = |(percent, upstream): (String, String)| {
            let (whole, hundredths) = percent.strip_suffix('%')?.split_once('.')?;
            let digits: u16 = hundredths.parse().ok().filter(|_| hundredths.len() == 2)?;
            let hundredths = whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(digits)?;
            Some(SplitPart { hundredths, upstream })
        };
        let parts = pairs.into_iter().map(part).collect::<Option<_>>()?;
        Some(Some(Selection::Split { key, parts, rest }))
    }

    /// A route, and where requests go that it does not match.
    fn route(&mut self, index: usize) -> Option<(RouteConfig, String)> {
        let (source, pairs) = self.take("map", &format!("route{index}"))?;
        let [(pattern, upstream), (default, otherwise)] = &pairs[..] else { return None };
        (default == "default").then_some(())?;
        let pattern = pattern.strip_prefix('~')?;
        let matches = if source == "$http_cookie" && pattern.starts_with("(?:^|;)") {
            let rest = pattern.strip_prefix("(?:^|;)[ \\x09]*")?.strip_suffix("[ \\x09]*(?:;|$)")?;
            let (name, values) = rest.split_once("[ \\x09]*=[ \\x09]*(?:")?;
            let (value, quoted) = values.strip_suffix(')')?.split_once('|')?;
            (quoted == format!("\\x22{value}\\x22")).then_some(())?;
            RouteMatch::Cookie { name: literal(name)?, value: literal(value)? }
        } else {
            let name = source.strip_prefix("$http_")?.replace('_', "-");
            RouteMatch::Header { name, value: literal(pattern.strip_prefix('^')?.strip_suffix('$')?)? }
        };
        Some((RouteConfig { matches, upstream: upstream.clone() }, otherwise.clone()))
    }
}

/// The one text that a pattern of letters, digits and `\x` numbers matches.
fn literal(pattern: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphanumeric() {
            bytes.push(u8::try_from(c).ok()?);
            rest = &rest[1..];
        } else {
            let digits = rest.strip_prefix("\\x")?.get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[4..];
        }
    }
    String::from_utf8(bytes).ok()
}
