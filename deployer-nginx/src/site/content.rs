//! What a site is, and the file that it becomes.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use deployer_core::{
    error::{Problem, Problems},
    model::WorkloadId,
};
use serde::{Deserialize, Serialize};

use super::names::{LocationPath, ServerName, SiteName};
use crate::{checksum, metrics::access_log_line, paths::Paths};

const FORMAT: &str = "# deployer-site 1 sha256 ";
const WARNING: &str = "# Written by deployer. A change by hand is noticed, and not overwritten.";

/// A site: who listens where, for which names, and which workloads answer at which paths. Plain HTTP: TLS is for a
/// server in front, or for one that is there already, which stays untouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The name of its file.
    pub name: SiteName,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The names that it answers to. None means `_`, whatever nobody else answers to.
    #[serde(default)]
    pub server_names: Vec<ServerName>,
    /// Which workload answers at which paths; the longest beginning wins.
    pub locations: Vec<(LocationPath, WorkloadId)>,
    /// A log for [`AccessLogMetrics`](crate::metrics::AccessLogMetrics). `http {}` needs its
    /// [`LOG_FORMAT`](crate::metrics::LOG_FORMAT).
    #[serde(default)]
    pub access_log: Option<PathBuf>,
}

impl Site {
    /// One that listens here and has no location yet.
    pub fn new(name: SiteName, listen: SocketAddr) -> Self {
        Self { name, listen: vec![listen], server_names: Vec::new(), locations: Vec::new(), access_log: None }
    }

    /// With this name, too.
    #[must_use]
    pub fn server_name(mut self, name: ServerName) -> Self {
        self.server_names.push(name);
        self
    }

    /// With this workload at paths that begin so.
    #[must_use]
    pub fn location(mut self, path: LocationPath, workload: WorkloadId) -> Self {
        self.locations.push((path, workload));
        self
    }

    /// With a log for [`AccessLogMetrics`](crate::metrics::AccessLogMetrics).
    #[must_use]
    pub fn access_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.access_log = Some(path.into());
        self
    }

    /// Whether it makes sense, all problems at once.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut add = |at: &str, message: String| problems.push(Problem::new(at, message));
        if self.listen.is_empty() {
            add("listen", "nobody would reach it; give it an address".to_owned());
        }
        for (index, listen) in self.listen.iter().enumerate() {
            if listen.port() == 0 {
                add("listen", format!("{listen} has no port"));
            }
            if self.listen[..index].contains(listen) {
                add("listen", format!("{listen} is there twice"));
            }
        }
        if self.locations.is_empty() {
            add("locations", "it would answer nothing; give it a location".to_owned());
        }
        for (index, (path, _)) in self.locations.iter().enumerate() {
            if self.locations[..index].iter().any(|(earlier, _)| earlier == path) {
                add("locations", format!("{path} is there twice"));
            }
        }
        if let Some(Err(problem)) = self.access_log.as_deref().map(access_log_line) {
            add("access_log", problem.message);
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// The file, of a site that was checked.
    pub(super) fn text(&self, paths: &Paths) -> String {
        let mut body = format!("{WARNING}\nserver {{\n");
        for listen in &self.listen {
            let _ = writeln!(body, "    listen {listen};");
        }
        let names: Vec<_> = self.server_names.iter().map(ServerName::as_str).collect();
        let names = if names.is_empty() { "_".to_owned() } else { names.join(" ") };
        let _ = writeln!(body, "    server_name {names};");
        if let Some(Ok(line)) = self.access_log.as_deref().map(access_log_line) {
            let _ = write!(body, "    {line}");
        }
        for (path, workload) in &self.locations {
            let file = paths.location(workload);
            let _ = writeln!(body, "    location {path} {{\n        include {};\n    }}", file.display());
        }
        body.push_str("}\n");
        format!("{FORMAT}{}\n{body}", checksum::sha256(&body))
    }
}

/// Whether a file is one of ours, as we left it.
pub(super) fn is_ours(text: &str) -> bool {
    let rest = text.strip_prefix(FORMAT).and_then(|rest| rest.split_once('\n'));
    rest.is_some_and(|(sum, body)| sum == checksum::sha256(body))
}

/// Whether a file was one of ours once.
pub(super) fn was_ours(text: &str) -> bool {
    text.starts_with(FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::read;

    fn site() -> Site {
        Site::new("shop".parse().unwrap(), "127.0.0.1:80".parse().unwrap())
            .server_name("shop.example".parse().unwrap())
            .server_name("*.shop.example".parse().unwrap())
            .location("/".parse().unwrap(), WorkloadId::new("web").unwrap())
            .location("/api/".parse().unwrap(), WorkloadId::new("api").unwrap())
            .access_log("/var/log/shop.log")
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = site().text(&Paths::new("/etc/nginx/deployer"));
        let directives = read("shop", &text).unwrap();
        let [server] = directives.as_slice() else { panic!("{text}") };
        let words = |name: &str| server.all(name).map(|one| one.arguments.join(" ")).collect::<Vec<_>>();
        assert_eq!(words("listen"), ["127.0.0.1:80"]);
        assert_eq!(words("server_name"), ["shop.example *.shop.example"]);
        assert_eq!(words("access_log"), ["/var/log/shop.log deployer_outcomes"]);
        assert_eq!(words("location"), ["/", "/api/"]);
        let included: Vec<_> =
            server.all("location").map(|location| location.children()[0].first()).collect();
        assert_eq!(
            included,
            ["/etc/nginx/deployer/locations/web.conf", "/etc/nginx/deployer/locations/api.conf"]
        );
    }

    #[test]
    fn an_edit_is_noticed() {
        let text = site().text(&Paths::new("/d"));
        assert!(is_ours(&text) && was_ours(&text));
        for edited in [text.replace("80", "81"), format!("{text} "), "server { }".to_owned()] {
            assert!(!is_ours(&edited));
        }
        assert!(!was_ours("server { }"));
    }

    #[test]
    fn all_problems_come_at_once() {
        let mut site = site();
        site.listen = vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
        site.locations.push(site.locations[0].clone());
        site.access_log = Some("/var/log/a;b".into());
        let places: Vec<_> = site.check().unwrap_err().0.into_iter().map(|problem| problem.at).collect();
        assert_eq!(places, ["listen", "listen", "listen", "locations", "access_log"]);
        site.listen.clear();
        site.locations.clear();
        assert_eq!(site.check().unwrap_err().0.len(), 3);
    }

    #[test]
    fn text_and_back() {
        let text = serde_json::to_string(&site()).unwrap();
        assert_eq!(serde_json::from_str::<Site>(&text).unwrap(), site());
        assert!(
            serde_json::from_str::<Site>("{\"name\":\"a\",\"listen\":[],\"locations\":[],\"tls\":1}")
                .is_err()
        );
    }
}
