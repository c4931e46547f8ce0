//! A source of secrets from which a redactor learns.

use std::sync::Arc;

use async_trait::async_trait;

use super::Redactor;
use crate::{
    model::SecretRef,
    ports::{Result, Secret, SecretSource},
};

#[derive(Debug)]
struct Learning {
    source: Arc<dyn SecretSource>,
    redactor: Redactor,
}

#[async_trait]
impl SecretSource for Learning {
    async fn resolve(&self, secret: &SecretRef) -> Result<Secret> {
        let value = self.source.resolve(secret).await?;
        self.redactor.register(&value);
        Ok(value)
    }
}

impl Redactor {
    /// The same source, whose every value is [registered](Self::register) before whoever asked for it gets it. Give this
    /// one to the target, and the redactor to the deployment: what instances print of a secret is then masked.
    ///
    /// ```
    /// # use deployer_core::{model::SecretRef, ports::{Result, Secret, SecretSource}, redact::Redactor};
    /// #[derive(Debug)]
    /// struct Vault;
    ///
    /// #[async_trait::async_trait]
    /// impl SecretSource for Vault {
    ///     async fn resolve(&self, _: &SecretRef) -> Result<Secret> {
    ///         Ok(Secret::new("hunter2"))
    ///     }
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let redactor = Redactor::new();
    /// let source = redactor.learning(std::sync::Arc::new(Vault));
    /// source.resolve(&SecretRef("password".to_owned())).await.unwrap();
    /// assert_eq!(redactor.text("login with hunter2 failed"), "login with *** failed");
    /// # });
    /// ```
    #[must_use]
    pub fn learning(&self, source: Arc<dyn SecretSource>) -> Arc<dyn SecretSource> {
        Arc::new(Learning { source, redactor: self.clone() })
    }
}
