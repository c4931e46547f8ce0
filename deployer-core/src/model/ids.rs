//! Names: newtypes with one grammar, so that a name can never be an option, a path or a piece of a config file.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {text:?}: use 1 to {max} of [A-Za-z0-9._-], starting with a letter or a digit")]
pub struct InvalidName {
    /// Which kind of name it should have been.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// The longest allowed length in bytes.
    pub max: usize,
}

fn check(what: &'static str, text: &str, max: usize) -> Result<(), InvalidName> {
    let bytes = text.as_bytes();
    let ok = !bytes.is_empty()
        && bytes.len() <= max
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if ok { Ok(()) } else { Err(InvalidName { what, text: text.chars().take(80).collect(), max }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks the grammar of a ", $what, ".")]
            ///
            /// # Errors
            /// The text is empty, too long, or has a character outside `[A-Za-z0-9._-]`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                check($what, text.as_ref(), $max)?;
                Ok(Self(Arc::from(text.as_ref())))
            }

            /// The name as text.
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
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;
            fn try_from(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// What is deployed: a service, a worker, a site.
    WorkloadId, "workload name", 63
);
name!(
    /// One immutable version of a workload: artifact and config.
    ReleaseId, "release name", 63
);
name!(
    /// All instances of one release. A set is named after its release.
    SetId, "set name", 63
);
name!(
    /// One running copy of a release: a process, a container, a pod.
    InstanceId, "instance name", 253
);
name!(
    /// Where instances run and what can become unreachable as one: a host, a node, a cluster.
    Place, "place name", 253
);
name!(
    /// One run of a pipeline.
    DeploymentId, "deployment name", 63
);
name!(
    /// One stage of a pipeline.
    StageId, "stage name", 63
);
name!(
    /// One gate of a rollout.
    GateId, "gate name", 63
);
name!(
    /// One backup, for ever.
    BackupKey, "backup key", 127
);

impl From<&ReleaseId> for SetId {
    fn from(release: &ReleaseId) -> Self {
        Self(release.0.clone())
    }
}

impl SetId {
    /// The release that the instances of this set run.
    pub fn release(&self) -> ReleaseId {
        ReleaseId(self.0.clone())
    }
}

/// The right to write to a workload: it grows with each owner of its lock, and a backend refuses a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in
            ["", "-rf", "../x", "a b", "a;b", "a\nb", "ä", ".x", "a/b", "${x}", "a\0", &"x".repeat(64)]
        {
            assert!(WorkloadId::new(text).is_err(), "{text:?} was accepted");
        }
        for text in ["web", "v1.2.3-rc_1", "0", &"x".repeat(63)] {
            assert!(WorkloadId::new(text).is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn a_name_is_checked_when_it_is_read() {
        assert!(serde_json::from_str::<SetId>("\"a;b\"").is_err());
        let set: SetId = serde_json::from_str("\"v1\"").unwrap();
        assert_eq!(serde_json::to_string(&set).unwrap(), "\"v1\"");
    }
}
