//! Why a stage failed.

use std::fmt;

/// Why a stage failed: any error, with its causes, in one line. `?` turns every error into one.
///
/// ```
/// use deployer_core::pipeline::StageError;
///
/// fn port(text: &str) -> Result<u16, StageError> {
///     let port: u16 = text.parse()?;
///     if port == 0 { Err(StageError::new("port 0 cannot be listened on; choose another")) } else { Ok(port) }
/// }
/// assert_eq!(port("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StageError(String);

impl StageError {
    /// With this message: what happened, and the way out.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same error with words in front that say what was being done.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

// It is no `std::error::Error` itself: only so can every error become one.
impl<E: std::error::Error> From<E> for StageError {
    fn from(error: E) -> Self {
        Self(crate::error::report(&error))
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
