//! Where nginx is and how it is to route.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use deployer_core::{
    error::{Problem, Problems},
    model::settings::seconds,
};
use serde::{Deserialize, Serialize};

use crate::{choice::RouterKind, paths::Paths};

/// The longest path of a unix socket that Linux takes.
const LONGEST_SOCKET: usize = 107;

/// How the weights of a split become nginx configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// One upstream with all members and a shared zone: exact over all workers between two reloads. With
    /// [`NginxSettings::stickiness`] nginx cannot do that, and `SplitClients` is taken. A request that one member could
    /// not take may be tried at one of another set.
    #[default]
    Upstream,
    /// `split_clients` over a random number per request: exact in expectation, in steps of 0.01 %. A request is tried at
    /// members of one set only.
    SplitClients,
}

/// Clients stay with the set that they first met, as far as the weights allow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stickiness {
    /// Name of the cookie that carries the client's number: letters, digits and `_`. Default `deployer_client`.
    pub cookie: String,
    /// How long the cookie is kept. Default 1 day.
    #[serde(with = "seconds")]
    pub max_age: Duration,
}

impl Default for Stickiness {
    fn default() -> Self {
        Self { cookie: "deployer_client".to_owned(), max_age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Where nginx is and how it is to route. Durations are written in seconds, fractions allowed.
///
/// ```
/// use deployer_nginx::NginxSettings;
/// let settings = NginxSettings { confirmations: 10, ..NginxSettings::default() };
/// assert!(settings.check().is_ok());
/// assert!(NginxSettings { directory: "relative".into(), ..settings }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NginxSettings {
    /// The executable of the running master. Default `/usr/sbin/nginx`.
    pub executable: PathBuf,
    /// nginx's prefix (`-p`), if it was started with one. Default none.
    pub prefix: Option<PathBuf>,
    /// The main configuration file. Default `/etc/nginx/nginx.conf`.
    pub main_config: PathBuf,
    /// The pid file of the master. Default `/run/nginx.pid`.
    pub pid_file: PathBuf,
    /// The directory that is the router's alone; nginx's master has to be able to read it. Default
    /// `/etc/nginx/deployer`.
    pub directory: PathBuf,
    /// How often in a row, each time on a new connection, the new generation has to answer before a switch is
    /// proven. 1 to 100, default 5.
    pub confirmations: u32,
    /// How long `nginx -t` may take; it resolves names. Default 10 s.
    #[serde(with = "seconds")]
    pub test_deadline: Duration,
    /// How long the master may take to act on a reload. Default 10 s.
    #[serde(with = "seconds")]
    pub reload_deadline: Duration,
    /// Which router is wanted; none for the better one that nginx can have. Default none.
    pub router: Option<RouterKind>,
    /// How the reload router writes weights. Default [`Weighting::Upstream`].
    pub weighting: Weighting,
    /// Whether clients stay with a set. Default none.
    pub stickiness: Option<Stickiness>,
    /// Unused connections that each worker keeps to the members of an upstream; 0 for a new connection per request.
    /// Default 32 (nginx since 1.29.7).
    pub keepalive: u32,
    /// How long a connection to a member may be kept unused. Default 4 s: Node and uvicorn close theirs after 5 s.
    #[serde(with = "seconds")]
    pub member_idle: Duration,
    /// After how many failures a member is left out for `fail_timeout`; 0 for never. Default 1 (nginx).
    pub max_fails: u32,
    /// How long a failed member is left out. Whole seconds, default 10 s (nginx).
    #[serde(with = "seconds")]
    pub fail_timeout: Duration,
    /// How long a connection to a member may take. Default 1 s: members are near.
    #[serde(with = "seconds")]
    pub connect_timeout: Duration,
    /// How many members a request is tried at, as long as nothing was sent that must not be sent twice. Default 3.
    pub tries: u32,
    /// Whether nginx takes an answer as fast as the member gives it and keeps what the client has not taken yet, which
    /// frees members early. Without it each piece goes on at once, as streams of events want it. Default true (nginx).
    pub buffering: bool,
    /// How long before a reload clients are told to close their connections with the answer that they get, so that old
    /// workers have none to cut: a request just under way on a kept connection would be lost, unless nginx has
    /// `keepalive_min_timeout`. Each reload then takes that much longer; 0.1 s is enough for clients that are busy. It
    /// adds a header in the location, where nginx then ignores `add_header` of outer blocks: repeat those there. Default
    /// 0 s, not at all.
    #[serde(with = "seconds")]
    pub closing_time: Duration,
    /// How long a client's unused connection outlives a reload, where nginx can do that (1.27.4): a request that is
    /// under way just then is not lost. Default 5 s.
    #[serde(with = "seconds")]
    pub keepalive_min_timeout: Duration,
}

impl Default for NginxSettings {
    fn default() -> Self {
        Self {
            executable: "/usr/sbin/nginx".into(),
            prefix: None,
            main_config: "/etc/nginx/nginx.conf".into(),
            pid_file: "/run/nginx.pid".into(),
            directory: "/etc/nginx/deployer".into(),
            confirmations: 5,
            test_deadline: Duration::from_secs(10),
            reload_deadline: Duration::from_secs(10),
            router: None,
            weighting: Weighting::default(),
            stickiness: None,
            keepalive: 32,
            member_idle: Duration::from_secs(4),
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            tries: 3,
            buffering: true,
            closing_time: Duration::ZERO,
            keepalive_min_timeout: Duration::from_secs(5),
        }
    }
}

impl NginxSettings {
    /// Whether they make sense, all problems at once. Nothing is read from the disk.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut add = |at: &str, message: String| problems.push(Problem::new(at, message));
        let paths = [
            ("executable", Some(&self.executable)),
            ("prefix", self.prefix.as_ref()),
            ("main_config", Some(&self.main_config)),
            ("pid_file", Some(&self.pid_file)),
            ("directory", Some(&self.directory)),
        ];
        for (at, path) in paths {
            if let Some(why) = path.and_then(|path| unusable(path)) {
                add(at, why);
            }
        }
        let length = Paths::new(&self.directory).control_socket().as_os_str().len();
        if length > LONGEST_SOCKET {
            add(
                "directory",
                format!("{length} bytes are too long for a socket; Linux takes {LONGEST_SOCKET}"),
            );
        }
        if !(1..=100).contains(&self.confirmations) {
            add("confirmations", format!("{} is not from 1 to 100", self.confirmations));
        }
        let durations = [
            ("test_deadline", self.test_deadline, true),
            ("reload_deadline", self.reload_deadline, true),
            ("connect_timeout", self.connect_timeout, true),
            ("member_idle", self.member_idle, true),
            ("fail_timeout", self.fail_timeout, false),
            ("keepalive_min_timeout", self.keepalive_min_timeout, false),
            ("closing_time", self.closing_time, false),
        ];
        for (at, duration, positive) in durations {
            if positive && duration.as_millis() == 0 {
                add(at, "is below 1 ms".to_owned());
            } else if duration > Duration::from_secs(24 * 60 * 60) {
                add(at, "is longer than a day".to_owned());
            }
        }
        if self.fail_timeout.subsec_nanos() != 0 {
            add("fail_timeout", "nginx takes whole seconds here".to_owned());
        }
        if !(1..=100).contains(&self.tries) {
            add("tries", format!("{} is not from 1 to 100", self.tries));
        }
        for (at, number) in [("keepalive", self.keepalive), ("max_fails", self.max_fails)] {
            if number > 1_000_000 {
                add(at, format!("{number} is more than a million"));
            }
        }
        if let Some(stickiness) = &self.stickiness {
            if !is_simple_cookie(&stickiness.cookie) {
                add(
                    "stickiness.cookie",
                    format!("{:?} is not 1 to 40 letters, digits and underscores", stickiness.cookie),
                );
            }
            if stickiness.max_age.as_secs() == 0 {
                add("stickiness.max_age", "is below 1 s".to_owned());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// Where the router's files are.
    pub fn paths(&self) -> Paths {
        Paths::new(&self.directory)
    }
}

/// Why a path can be no part of a configuration file; `None` if it can.
fn unusable(path: &Path) -> Option<String> {
    let Some(text) = path.to_str() else { return Some(format!("{} is not UTF-8", path.display())) };
    if !path.is_absolute() {
        return Some(format!("{text:?} is not an absolute path"));
    }
    let hostile = |c: char| c.is_control() || c.is_whitespace() || "\"'\\;{}$#*?[]~".contains(c);
    let found = text.chars().find(|c| hostile(*c))?;
    Some(format!("{text:?} has {found:?}, which means something to nginx; choose another path"))
}

fn is_simple_cookie(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        let settings = NginxSettings {
            executable: "nginx".into(),
            main_config: "/etc/a;b".into(),
            pid_file: "/run/a\nb".into(),
            prefix: Some("/a b".into()),
            directory: format!("/{}", "x".repeat(120)).into(),
            confirmations: 0,
            tries: 0,
            fail_timeout: Duration::from_millis(1500),
            test_deadline: Duration::ZERO,
            stickiness: Some(Stickiness { cookie: "a;b".into(), max_age: Duration::ZERO }),
            ..NginxSettings::default()
        };
        let Problems(problems) = settings.check().unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.at.as_str()).collect();
        let expected = [
            "executable",
            "prefix",
            "main_config",
            "pid_file",
            "directory",
            "confirmations",
            "test_deadline",
            "fail_timeout",
            "tries",
            "stickiness.cookie",
            "stickiness.max_age",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn paths_with_a_meaning_to_nginx_are_refused() {
        for hostile in
            ["/a;b", "/a{b", "/a}b", "/a$b", "/a\nb", "/a\"b", "/a'b", "/a\\b", "/a b", "/a#b", "/a*"]
        {
            let settings = NginxSettings { directory: hostile.into(), ..NginxSettings::default() };
            assert_eq!(settings.check().unwrap_err().0[0].at, "directory", "{hostile:?}");
        }
    }

    #[test]
    fn text_and_back() {
        let settings = NginxSettings { stickiness: Some(Stickiness::default()), ..NginxSettings::default() };
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<NginxSettings>(&text).unwrap(), settings);
        assert_eq!(serde_json::from_str::<NginxSettings>("{}").unwrap(), NginxSettings::default());
        assert!(serde_json::from_str::<NginxSettings>("{\"workers\":1}").is_err());
    }
}
