//! Texts that may stand in a site, each with a grammar that leaves nothing to nginx's own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text may not stand in a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {right}")]
pub struct InvalidSiteText {
    /// What it should have been.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// What is right.
    pub right: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $right:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks the grammar of a ", $what, ".")]
            ///
            /// # Errors
            #[doc = concat!("It does not keep to: ", $right, ".")]
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidSiteText> {
                let text = text.into();
                if $check(&text) {
                    return Ok(Self(text));
                }
                let text = text.chars().take(80).collect();
                Err(InvalidSiteText { what: $what, text, right: $right })
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidSiteText;
            fn from_str(text: &str) -> Result<Self, InvalidSiteText> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidSiteText;
            fn try_from(text: String) -> Result<Self, InvalidSiteText> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

text!(
    /// The name of a site: that of its file and of its link.
    SiteName,
    "name of a site",
    "use 1 to 63 of [A-Za-z0-9._-], starting with a letter or a digit",
    is_site_name
);
text!(
    /// A name that a server answers to: a host name, or `*.` and a host name.
    ServerName,
    "server name",
    "use labels of [A-Za-z0-9_-] joined by dots, 253 characters at most, with *. before them or not",
    is_server_name
);
text!(
    /// The beginning of paths that a location is for.
    LocationPath,
    "path of a location",
    "use a slash and up to 255 of [A-Za-z0-9/._~-]",
    is_location_path
);

fn is_site_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= 63
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

fn is_server_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    text.len() <= 253 && text.strip_prefix("*.").unwrap_or(text).split('.').all(label)
}

fn is_location_path(text: &str) -> bool {
    text.len() <= 256
        && text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_nginx_is_refused() {
        let long = "a".repeat(300);
        for hostile in [
            "", "a b", "a;b", "a{b", "a}b", "a$b", "a\nb", "a\"b", "a'b", "a\\b", "a#b", "../a", "a\0b", "é",
            &long,
        ] {
            assert!(SiteName::new(hostile).is_err(), "{hostile:?}");
            assert!(ServerName::new(hostile).is_err(), "{hostile:?}");
            assert!(LocationPath::new(hostile).is_err(), "{hostile:?}");
            assert!(
                LocationPath::new(format!("/{hostile}")).is_err() || hostile.is_empty() || hostile == "../a"
            );
        }
        for name in ["~^www\\d", "*", "a..b", ".a", "*.*.a", "www.*"] {
            assert!(ServerName::new(name).is_err(), "{name}");
        }
        for name in ["localhost", "_", "www.example.org", "*.example.org", "a_b.x-y"] {
            assert!(ServerName::new(name).is_ok(), "{name}");
        }
        assert!(LocationPath::new("/api/v1.0/~x_y-z").is_ok());
        assert!(serde_json::from_str::<SiteName>("\"a;b\"").is_err());
    }
}
