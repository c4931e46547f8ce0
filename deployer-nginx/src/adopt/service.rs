//! What requests are passed on to.

use std::net::SocketAddr;

use super::http_server::HttpServer;
use super::tree::{Place, Placed};

/// A `location` whose requests are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The server that it is in.
    pub server: HttpServer,
    /// What it is for, as it stands there: `/`, `= /x`, `~ \.php$`.
    pub path: String,
    /// The whole location.
    pub location: Placed,
    /// Whether it is passed on by an `if` in it.
    pub conditional: bool,
    /// The line that passes them on.
    pub proxy_pass: Place,
    /// Where to.
    pub to: PassTo,
}

/// Where requests are passed on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassTo {
    /// `http`, `https`, or something else that stands there.
    pub scheme: String,
    /// The name of an upstream or host, with its port; a variable.
    pub authority: String,
    /// What replaces the part of the path that the location is for, if something does.
    pub path: Option<String>,
    /// The upstream of that name, if there is one.
    pub upstream: Option<UpstreamGroup>,
}

/// An `upstream` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamGroup {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// Its members as they stand there, without parameters.
    pub members: Vec<String>,
    /// Directives in it that choose among the members in another way than by weight.
    pub methods: Vec<String>,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// Everything that is passed on to this upstream, or to this host and port.
    Upstream(String),
    /// The location of this path in the server of this name.
    Location {
        /// One of the server's names.
        server_name: String,
        /// The path, as it stands there.
        path: String,
    },
    /// Everything that is passed on to this address, alone or among others.
    Member(SocketAddr),
}

impl Service {
    /// Whether this is looked for.
    pub fn is(&self, wanted: &Find) -> bool {
        match wanted {
            Find::Upstream(name) => self.to.authority == *name,
            Find::Location { server_name, path } => self.server.is_for(server_name) && self.path == *path,
            Find::Member(address) => self.to.members().iter().any(|member| member.parse() == Ok(*address)),
        }
    }
}

impl PassTo {
    /// Who answers, as it stands there: the members of the upstream, or the one host.
    pub fn members(&self) -> Vec<String> {
        match &self.upstream {
            Some(upstream) => upstream.members.clone(),
            None => vec![self.authority.clone()],
        }
    }
}

/// All locations of an `http` block that pass requests on.
pub(super) fn services(http: &Placed) -> Vec<Service> {
    let upstreams: Vec<_> = http.all("upstream").map(upstream).collect();
    let mut found = Vec::new();
    for server in http.all("server") {
        let head = HttpServer::of(server);
        locations(server, &mut |location| {
            found.extend(passes(location).into_iter().map(|(pass, conditional)| Service {
                server: head.clone(),
                path: location.arguments.join(" "),
                location: location.clone(),
                conditional,
                proxy_pass: pass.place.clone(),
                to: target(pass.first(), &upstreams),
            }));
        });
    }
    found
}

fn locations(of: &Placed, each: &mut impl FnMut(&Placed)) {
    for location in of.all("location") {
        each(location);
        locations(location, each);
    }
}

/// The lines that pass on, and whether each is in an `if`.
fn passes(location: &Placed) -> Vec<(&Placed, bool)> {
    let direct = location.all("proxy_pass").map(|pass| (pass, false));
    let conditional = location.all("if").flat_map(|block| block.all("proxy_pass")).map(|pass| (pass, true));
    direct.chain(conditional).collect()
}

fn upstream(block: &Placed) -> UpstreamGroup {
    const METHODS: [&str; 8] =
        ["ip_hash", "hash", "least_conn", "least_time", "random", "sticky", "balancer_by_lua_block", "queue"];
    let methods = block.children().iter().filter(|child| METHODS.contains(&child.name.as_str()));
    UpstreamGroup {
        name: block.first().to_owned(),
        place: block.place.clone(),
        members: block.all("server").map(|server| server.first().to_owned()).collect(),
        methods: methods.map(|method| method.name.clone()).collect(),
    }
}

fn target(text: &str, upstreams: &[UpstreamGroup]) -> PassTo {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // The path of a unix socket has slashes of its own.
    let from = if rest.starts_with("unix:") { rest.rfind(':').unwrap_or(0) } else { 0 };
    let end = rest[from..].find('/').map_or(rest.len(), |slash| from + slash);
    let (authority, path) =
        if rest.starts_with("unix:") && from == 4 { (rest, "") } else { rest.split_at(end) };
    PassTo {
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        path: (!path.is_empty()).then(|| path.to_owned()),
        upstream: upstreams.iter().find(|upstream| upstream.name == authority).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        for (text, scheme, authority, path) in [
            ("http://backend", "http", "backend", None),
            ("http://127.0.0.1:4000/", "http", "127.0.0.1:4000", Some("/")),
            ("https://[::1]:8443/api/", "https", "[::1]:8443", Some("/api/")),
            ("http://unix:/run/app.sock", "http", "unix:/run/app.sock", None),
            ("http://unix:/run/app.sock:/uri", "http", "unix:/run/app.sock:", Some("/uri")),
            ("$target", "", "$target", None),
        ] {
            let to = target(text, &[]);
            assert_eq!(
                (to.scheme.as_str(), to.authority.as_str(), to.path.as_deref()),
                (scheme, authority, path)
            );
        }
    }
}
