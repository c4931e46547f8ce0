//! Secrets: asked for when they are needed, never written down.

use std::fmt;

use async_trait::async_trait;

use super::Result;
use crate::model::SecretRef;

/// The value of a secret. Not serialisable; `Debug` and `Display` show nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where secrets come from.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SecretSource: std::fmt::Debug + Send + Sync + 'static {
    /// The present value of a secret.
    ///
    /// # Errors
    /// `NotFound` if there is none of this name.
    async fn resolve(&self, secret: &SecretRef) -> Result<Secret>;
}
