//! Which kind of router an nginx can have.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::server::ServerCapabilities;

/// How an nginx is made to follow a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterKind {
    /// A file is written and nginx reloads: works with every nginx.
    Reload,
    /// nginx is told on a socket and goes on: needs its Lua module.
    Live,
}

impl fmt::Display for RouterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload router",
            Self::Live => "live router",
        })
    }
}

/// Which router is taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Which one.
    pub kind: RouterKind,
    /// Why, in words for people.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

impl Choice {
    /// The live router where nginx can have it, unless another one is `wanted`.
    ///
    /// # Errors
    /// The live router is wanted and nginx cannot have it: why, in words.
    pub fn of(can: &ServerCapabilities, wanted: Option<RouterKind>) -> Result<Self, String> {
        let lua = &can.lua;
        let (kind, reason) = match wanted {
            Some(RouterKind::Live) if !lua.available => {
                return Err(format!("the live router is wanted, but {}", lua.reason));
            }
            Some(kind @ RouterKind::Reload) if lua.available => {
                (kind, "it is wanted, though nginx could switch without reloads".to_owned())
            }
            Some(kind) => (kind, "it is wanted".to_owned()),
            None if lua.available => {
                (RouterKind::Live, format!("{}, so switches need no reload and lose no request", lua.reason))
            }
            None => {
                let kept = if can.keepalive_min_timeout.available { "softened" } else { "not softened" };
                let reason = format!(
                    "{}; requests on kept connections can be lost at a reload, which is {kept} here: {}",
                    lua.reason, can.keepalive_min_timeout.reason
                );
                (RouterKind::Reload, reason)
            }
        };
        Ok(Self { kind, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx(configuration: &str) -> ServerCapabilities {
        ServerCapabilities::read("nginx version: nginx/1.22.1", Ok(configuration)).unwrap()
    }

    #[test]
    fn the_better_one_is_taken_where_nginx_can_have_it() {
        let (plain, lua) = (nginx("http {}"), nginx("load_module modules/ngx_http_lua_module.so;"));
        let kind = |can, wanted| Choice::of(can, wanted).map(|choice| choice.kind);
        assert_eq!(kind(&lua, None), Ok(RouterKind::Live));
        assert_eq!(kind(&lua, Some(RouterKind::Reload)), Ok(RouterKind::Reload));
        assert_eq!(kind(&plain, None), Ok(RouterKind::Reload));
        assert_eq!(kind(&plain, Some(RouterKind::Reload)), Ok(RouterKind::Reload));
        let why = kind(&plain, Some(RouterKind::Live)).unwrap_err();
        assert!(why.contains("libnginx-mod-http-lua"), "{why}");
    }

    #[test]
    fn the_choice_says_why() {
        let text = Choice::of(&nginx("http {}"), None).unwrap().to_string();
        for part in ["reload router: ", "no Lua module", "not softened", "1.27.4"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}
