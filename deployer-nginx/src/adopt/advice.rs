//! What a person has to change so that a workload is routed.

use std::{fmt, net::SocketAddr};

use deployer_core::{
    error::{BackendError, ErrorKind},
    model::WorkloadId,
};

use super::{
    existing::Existing,
    service::{Find, Service},
    tree::{Place, Placed, read},
};
use crate::{base, server::Server};

/// What a person has to change so that a workload is routed. Shown as text it is a list of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// For whom.
    pub workload: WorkloadId,
    /// The line for the `http` block.
    pub http: Change,
    /// The line for each location, and the lines that it replaces.
    pub locations: Vec<Change>,
    /// Who answers now and has an address: what the first split has to hold so that nothing changes for clients.
    pub members: Vec<SocketAddr>,
    /// What keeps the lines from doing what is there now. With one of these do not change anything yet.
    pub obstacles: Vec<String>,
    /// What will be another way, or stays as it is.
    pub notes: Vec<String>,
}

/// A line to add to a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the block begins.
    pub block: Place,
    /// How the block begins: `http`, `location /`.
    pub title: String,
    /// The line.
    pub line: String,
    /// Whether it is there already.
    pub done: bool,
    /// Lines that have to go, because the included file has them too, or instead.
    pub remove: Vec<Removal>,
}

/// A line that has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Where it stands.
    pub place: Place,
    /// What stands there.
    pub line: String,
}

/// Says what a person has to change so that what is found is routed by deployer as this workload. Nothing is written.
///
/// # Errors
/// `NotFound` if nothing is found; the message lists what is there.
pub fn advise(
    server: &Server,
    existing: &Existing,
    workload: &WorkloadId,
    wanted: &Find,
) -> Result<Advice, BackendError> {
    let operation = format!("find workload {workload} in the configuration of nginx");
    let services = existing.services();
    let found: Vec<_> = services.iter().filter(|service| service.is(wanted)).collect();
    let (Some(first), Some(http)) = (found.first(), existing.https().next()) else {
        let list: Vec<_> = services.iter().map(describe).collect();
        let there = if list.is_empty() { "nothing is passed on".to_owned() } else { list.join("; ") };
        let message = format!("no location passes requests on to {wanted}; there is: {there}");
        return Err(BackendError::new(ErrorKind::NotFound, operation, message));
    };
    let line = format!("include {};", server.paths().http().display());
    let http = Change {
        block: http.place.clone(),
        title: "http".to_owned(),
        done: has(http, &line),
        line,
        remove: Vec::new(),
    };
    let included = base::location(
        workload,
        server.paths(),
        server.settings(),
        server.capabilities(),
        server.choice().kind,
    );
    let included = read(server.paths().location(workload), &included).map_err(|error| {
        BackendError::new(ErrorKind::Unexpected, &operation, "what is to be included cannot be read")
            .with_source(error)
    })?;
    let mut advice = Advice {
        workload: workload.clone(),
        http,
        locations: Vec::new(),
        members: first.to.members().iter().filter_map(|member| member.parse().ok()).collect(),
        obstacles: Vec::new(),
        notes: Vec::new(),
    };
    for service in found {
        let line = format!("include {};", server.paths().location(workload).display());
        let done = has(&service.location, &line);
        advice.locations.push(Change {
            block: service.location.place.clone(),
            title: format!("location {}", service.path),
            line,
            done,
            remove: replaced(&service.location, &included),
        });
        advice.look_at(service);
    }
    Ok(advice)
}

impl Advice {
    fn look_at(&mut self, service: &Service) {
        let (to, at) = (&service.to, &service.proxy_pass);
        let mut obstacle = |text: String| self.obstacles.push(format!("{at}: {text}"));
        if service.conditional {
            obstacle(
                "it passes on within an `if`, where nothing can be included; use a location of its own"
                    .to_owned(),
            );
        }
        if let Some(path) = &to.path {
            obstacle(format!(
                "it puts {path:?} in the place of {:?}, and the included lines pass paths on as they are; let the \
                 application answer at {:?}",
                service.path, service.path
            ));
        }
        if to.scheme != "http" {
            obstacle(format!("it passes on by {:?}; deployer speaks HTTP to members", to.scheme));
        }
        let where_they_are = to.upstream.as_ref().map_or(at, |upstream| &upstream.place);
        for member in to.members().iter().filter(|member| member.parse::<SocketAddr>().is_err()) {
            let what = "is no address and port; members of a split need both";
            self.note(where_they_are, &format!("{member} {what}"));
        }
        if let Some(upstream) = &to.upstream {
            let name = &upstream.name;
            if !upstream.methods.is_empty() {
                let text = format!(
                    "`{}` of upstream {name} does not apply to members of deployer; where clients have to stay use \
                     NginxSettings::stickiness",
                    upstream.methods.join("`, `"),
                );
                self.note(&upstream.place, &text);
            }
            self.note(&upstream.place, &format!("upstream {name} can go once nothing uses it"));
        }
        if service.server.tls {
            self.note(&service.server.place, "this server ends TLS and goes on doing so, untouched");
        }
    }

    fn note(&mut self, place: &Place, text: &str) {
        let note = format!("{place}: {text}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => f.write_str(name),
            Self::Location { server_name, path } => write!(f, "location {path} of server {server_name}"),
            Self::Member(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for obstacle in &self.obstacles {
            writeln!(f, "first solve: {obstacle}")?;
        }
        for change in std::iter::once(&self.http).chain(&self.locations) {
            let done = if change.done { "there already" } else { "add" };
            writeln!(f, "in `{}` at {}, {done}: {}", change.title, change.block, change.line)?;
            for removal in &change.remove {
                writeln!(f, "  and remove {}: {}", removal.place, removal.line)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if !self.members.is_empty() {
            let members: Vec<_> = self.members.iter().map(ToString::to_string).collect();
            writeln!(f, "answering now: {}", members.join(", "))?;
        }
        Ok(())
    }
}

fn describe(service: &Service) -> String {
    let names = if service.server.names.is_empty() {
        "without a name".to_owned()
    } else {
        service.server.names.join(" ")
    };
    format!(
        "location {} of server {names} to {} ({})",
        service.path, service.to.authority, service.proxy_pass
    )
}

/// Whether the block has this very line.
fn has(block: &Placed, line: &str) -> bool {
    block.all("include").any(|include| written(include) == line)
}

/// The lines of a location that cannot stand beside those that are included: all would be there twice.
fn replaced(location: &Placed, included: &[Placed]) -> Vec<Removal> {
    // A location that includes it already has those lines, too, from another file.
    let from_there = |directive: &Placed| included.iter().any(|own| own.place.file == directive.place.file);
    let repeatable = |name: &str| matches!(name, "proxy_set_header" | "add_header" | "set" | "if");
    let clashes = |directive: &&Placed| {
        included.iter().any(|own| {
            own.name == directive.name
                && (!repeatable(&own.name) || own.first().eq_ignore_ascii_case(directive.first()))
        })
    };
    let here = location.children().iter().filter(|directive| !from_there(directive));
    here.filter(clashes).map(|line| Removal { place: line.place.clone(), line: written(line) }).collect()
}

fn written(directive: &Placed) -> String {
    let end = if directive.block.is_some() { " { ... }" } else { ";" };
    let words = std::iter::once(&directive.name).chain(&directive.arguments).map(String::as_str);
    words.collect::<Vec<_>>().join(" ") + end
}
