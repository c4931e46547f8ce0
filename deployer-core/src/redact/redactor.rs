//! What is known to be secret.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::forms::forms;
use crate::{
    error::{DeployError, Problem},
    ports::Secret,
};

/// What takes the place of a secret value.
const MASK: &str = "***";

/// Known secret values, to be taken out of every text that leaves a deployment: events, journal, log, errors, report.
/// Clones share what they know.
///
/// A deployment's own texts have references to secrets only. But backends echo what they were given, and instances
/// print what they were started with. Whoever resolves a secret (a target, a hook) registers its value here before it
/// uses it, and the deployment is [told](crate::engine::DeploymentBuilder::redact) the same redactor. The value itself
/// is found, and how it looks in URLs, in JSON and anywhere inside of base64.
///
/// What is not touched: names, and the configuration of a release, which is journaled as it is given.
///
/// ```
/// # use deployer_core::{ports::Secret, redact::Redactor};
/// let redactor = Redactor::new();
/// assert!(redactor.register(&Secret::new("hunter2")));
/// assert_eq!(redactor.text("login as admin:hunter2 failed"), "login as admin:*** failed");
/// // Too short: it would be found in ordinary text.
/// assert!(!redactor.register(&Secret::new("no")));
/// ```
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<String>>>);

impl Redactor {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this value is taken out. Returns whether it is: a value of fewer than 4 bytes is not, as it would
    /// be found in ordinary text.
    pub fn register(&self, secret: &Secret) -> bool {
        let forms = forms(secret.expose());
        let is_known = !forms.is_empty();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(forms);
        // The longest first, so that nothing is left of a value that has another in it.
        known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        known.dedup();
        is_known
    }

    /// The text without secret values.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut redacted = Cow::Borrowed(text);
        for value in known.iter().filter(|value| text.contains(value.as_str())) {
            redacted = Cow::Owned(redacted.replace(value.as_str(), MASK));
        }
        redacted
    }

    pub(super) fn take_out(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.text(text) {
            *text = redacted;
        }
    }

    pub(super) fn take_out_all<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        for text in texts {
            self.take_out(text);
        }
    }

    pub(super) fn knows_nothing(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The error without secret values.
    pub(crate) fn error(&self, mut error: DeployError) -> DeployError {
        match &mut error {
            DeployError::Refused(problems) => {
                self.take_out_all(problems.iter_mut().map(|Problem { message, .. }| message));
            }
            DeployError::Locked { .. } => {}
            DeployError::RolledBack { cause, evidence } => {
                self.cause(cause);
                self.take_out_all(evidence);
            }
            DeployError::Stuck { why, left } => {
                self.take_out(why);
                self.take_out_all(left);
            }
            DeployError::Aborted { reason, .. } => self.take_out(reason),
            DeployError::Interrupted { why } => self.take_out(why),
        }
        error
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_has_another_in_it_goes_as_a_whole() {
        let redactor = Redactor::new();
        for value in ["hunter2", "hunter2-and-more", "hunter2"] {
            assert!(redactor.register(&Secret::new(value)));
        }
        assert_eq!(redactor.text("a hunter2-and-more b hunter2 c"), "a *** b *** c");
        assert!(matches!(redactor.text("nothing here"), Cow::Borrowed(_)));
        assert_eq!(format!("{redactor:?}"), "Redactor");
    }
}
