//! The text that nginx reads.

use std::fmt::{self, Write as _};

use deployer_core::model::RouteMatch;

use super::model::{RouteConfig, Selection, SplitKey, Upstream, WorkloadConfig};
use crate::{names, syntax::read_workload};

/// The text of a configuration would be read as another one: a value in it has a meaning to nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the configuration of workload would be read as another one")]
pub struct Unfaithful;

/// The text that nginx reads in `http {}`. It was read back by another parser, as the same values.
///
/// # Errors
/// A value would be read as something else. What [`build`](super::build) gives has none of that kind.
pub fn render(config: &WorkloadConfig) -> Result<String, Unfaithful> {
    let mut text = String::new();
    write_all(&mut text, config).map_err(|_| Unfaithful)?;
    let read = read_workload(&config.workload, &text);
    if read.as_ref() == Some(config) { Ok(text) } else { Err(Unfaithful) }
}

fn write_all(text: &mut String, config: &WorkloadConfig) -> fmt::Result {
    let base = names::workload(&config.workload);
    for upstream in &config.upstreams {
        write_upstream(text, upstream)?;
    }
    constant(text, &base, "gen", &config.generation.to_string())?;
    let closed = config.closed.as_ref();
    constant(text, &base, "maint", if closed.is_some() { "1" } else { "" })?;
    let retry_after = closed.and_then(|closed| closed.retry_after_seconds);
    constant(text, &base, "retry", &retry_after.map(|seconds| seconds.to_string()).unwrap_or_default())?;
    constant(text, &base, "message", closed.map_or("", |closed| &closed.message))?;
    write_stickiness(text, &base, config)?;
    let selected = match &config.selection {
        Selection::Nobody => String::new(),
        Selection::Upstream(name) => name.clone(),
        Selection::Split { key, parts, rest } => {
            let key = match key {
                SplitKey::Request => "$request_id".to_owned(),
                SplitKey::Client => format!("${base}_client"),
            };
            writeln!(text, "split_clients {key} ${base}_split {{")?;
            for part in parts {
                writeln!(
                    text,
                    "    {}.{:02}% {};",
                    part.hundredths / 100,
                    part.hundredths % 100,
                    part.upstream
                )?;
            }
            writeln!(text, "    * {rest};\n}}")?;
            format!("${base}_split")
        }
    };
    for (index, route) in config.routes.iter().enumerate() {
        let next = if index + 1 == config.routes.len() {
            selected.clone()
        } else {
            format!("${base}_route{}", index + 1)
        };
        write_route(text, &format!("{base}_route{index}"), route, &next)?;
    }
    let first = if config.routes.is_empty() { selected } else { format!("${base}_route0") };
    constant(text, &base, "upstream", &first)
}

fn write_upstream(text: &mut String, upstream: &Upstream) -> fmt::Result {
    let name = &upstream.name;
    writeln!(text, "upstream {name} {{\n    zone {name} {}k;", upstream.zone_kibibytes)?;
    for member in &upstream.members {
        write!(text, "    server {} weight={}", member.address, member.weight)?;
        write!(text, " max_fails={} fail_timeout={}s", member.max_fails, member.fail_timeout_seconds)?;
        writeln!(text, "{};", if member.down { " down" } else { "" })?;
    }
    if let Some(keepalive) = upstream.keepalive {
        writeln!(text, "    keepalive {};", keepalive.connections)?;
        writeln!(text, "    keepalive_timeout {}ms;", keepalive.idle_milliseconds)?;
    }
    writeln!(text, "}}")
}

/// A variable that is the same for all requests.
fn constant(text: &mut String, base: &str, name: &str, value: &str) -> fmt::Result {
    writeln!(text, "map \"\" ${base}_{name} {{\n    default \"{value}\";\n}}")
}

/// A client without a number gets one. The variables are there in any case: the location uses them or not.
fn write_stickiness(text: &mut String, base: &str, config: &WorkloadConfig) -> fmt::Result {
    let Some(stickiness) = &config.stickiness else { return Ok(()) };
    let cookie = &stickiness.cookie;
    let known = "\"~^[0-9a-f]{32}$\"";
    writeln!(text, "map $cookie_{cookie} ${base}_client {{")?;
    writeln!(text, "    {known} $cookie_{cookie};\n    default $request_id;\n}}")?;
    writeln!(text, "map $cookie_{cookie} ${base}_cookie {{\n    {known} \"\";")?;
    let seconds = stickiness.max_age.as_secs();
    let attributes = format!("Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    writeln!(text, "    default \"{cookie}=$request_id; {attributes}\";\n}}")
}

fn write_route(text: &mut String, variable: &str, route: &RouteConfig, next: &str) -> fmt::Result {
    // A plain key of a map is compared without case.
    let (source, pattern) = match &route.matches {
        RouteMatch::Header { name, value } => {
            let name = name.to_ascii_lowercase().replace('-', "_");
            (format!("$http_{name}"), format!("^{}$", exactly(value)))
        }
        RouteMatch::Cookie { name, value } => {
            let (name, value) = (exactly(name), exactly(value));
            let pattern = format!(
                "(?:^|;)[ \\x09]*{name}[ \\x09]*=[ \\x09]*(?:{value}|\\x22{value}\\x22)[ \\x09]*(?:;|$)"
            );
            ("$http_cookie".to_owned(), pattern)
        }
    };
    writeln!(text, "map {source} ${variable} {{")?;
    writeln!(text, "    \"~{pattern}\" {};\n    default \"{next}\";\n}}", route.upstream)
}

/// A pattern that matches exactly this text: what is neither a letter nor a digit is written as a number.
fn exactly(value: &str) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
        text
    })
}
