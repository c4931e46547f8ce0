//! What an nginx can do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Whether something can be done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// Whether it can be done.
    pub available: bool,
    /// Why, or why not: a sentence for people.
    pub reason: String,
}

/// What an nginx can do, found by `nginx -V` and the modules that its configuration loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCapabilities {
    /// Its version.
    pub version: Version,
    /// Code in Lua, which the live router needs.
    pub lua: Ability,
    /// Unused client connections outlive a reload for a while.
    pub keepalive_min_timeout: Ability,
    /// Names of members are resolved again and again.
    pub resolve: Ability,
    /// Members can be left out of new sessions only.
    pub drain: Ability,
}

impl ServerCapabilities {
    /// Reads the text of `nginx -V` and the whole configuration as `nginx -T` prints it. `None` if the first is not
    /// that of an nginx.
    pub(crate) fn read(build: &str, configuration: Result<&str, String>) -> Option<Self> {
        let (name, version) = version(build)?;
        let since = |what: &str, least: Version| {
            let available = version >= least;
            let than = if available { "has" } else { "lacks" };
            let reason = format!("nginx {version} {than} {what}, which is there since {least}");
            Ability { available, reason }
        };
        Some(Self {
            version,
            lua: lua(name, build, configuration),
            keepalive_min_timeout: since("keepalive_min_timeout", Version(1, 27, 4)),
            resolve: since("`resolve` for members", Version(1, 27, 3)),
            drain: since("`drain` for members", Version(1, 29, 6)),
        })
    }
}

fn lua(name: &str, build: &str, configuration: Result<&str, String>) -> Ability {
    let ability = |available, reason: String| Ability { available, reason };
    if name == "openresty" {
        return ability(true, "OpenResty has Lua built in".to_owned());
    }
    if build.contains("--add-module") && build.contains("lua-nginx-module") {
        return ability(true, "Lua is built in".to_owned());
    }
    match configuration {
        Ok(text) if loads_lua(text) => ability(true, "the configuration loads the Lua module".to_owned()),
        Ok(_) => ability(
            false,
            "the configuration loads no Lua module; on Debian install libnginx-mod-http-lua".to_owned(),
        ),
        Err(why) => ability(false, format!("the configuration could not be read: {why}")),
    }
}

fn loads_lua(configuration: &str) -> bool {
    configuration.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with("load_module") && line.contains("ngx_http_lua_module")
    })
}

/// The name before the slash and the version behind it: derived servers carry their own names.
fn version(build: &str) -> Option<(&str, Version)> {
    let line = build.lines().find_map(|line| line.trim().strip_prefix("nginx version: "))?;
    let (name, rest) = line.split_once('/')?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let mut numbers = rest[..end].split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((name.trim(), Version(next()?, next()?, next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_field() {
        for (text, expected) in [
            ("nginx version: nginx/1.22.1", Version(1, 22, 1)),
            ("nginx version: openresty/1.27.1.2", Version(1, 27, 1)),
            ("nginx version: nginx/1.29.6 (Ubuntu)\nbuilt with", Version(1, 29, 6)),
            ("nginx version: nginx/1.25.3 (nginx-plus-r31-p1)", Version(1, 25, 3)),
        ] {
            assert_eq!(version(text).unwrap().1, expected, "{text}");
        }
        assert_eq!(version("Apache/2.4"), None);
    }

    #[test]
    fn abilities_follow_from_the_version_and_the_modules() {
        let old = ServerCapabilities::read("nginx version: nginx/1.22.1", Ok("http {}")).unwrap();
        assert!(!old.keepalive_min_timeout.available && !old.resolve.available && !old.lua.available);
        assert!(old.keepalive_min_timeout.reason.contains("1.27.4"), "{old:?}");
        assert!(old.lua.reason.contains("libnginx-mod-http-lua"), "{old:?}");
        let new = ServerCapabilities::read("nginx version: nginx/1.29.6", Ok("")).unwrap();
        assert!(new.keepalive_min_timeout.available && new.resolve.available && new.drain.available);
        let loads = "# x\n  load_module modules/ngx_http_lua_module.so;";
        assert!(ServerCapabilities::read("nginx version: nginx/1.22.1", Ok(loads)).unwrap().lua.available);
        let commented = "#load_module modules/ngx_http_lua_module.so;";
        assert!(
            !ServerCapabilities::read("nginx version: nginx/1.22.1", Ok(commented)).unwrap().lua.available
        );
    }
}
