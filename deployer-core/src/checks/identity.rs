//! Who answers.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::HeaderName;

use super::{
    HttpCheck,
    connect::{failed, unknown},
    expect::quoted,
    http::{check_pointer, parse_json},
    http_call::Answer,
};
use crate::{
    error::Problem,
    model::{Instance, ReleaseId},
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

/// Where in an answer an instance says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerField {
    /// In a header of this name.
    Header(String),
    /// In a JSON body, at this pointer (RFC 6901): a text, or a number or truth value written as one.
    Json(String),
}

impl fmt::Display for AnswerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Json(pointer) => write!(f, "body at {pointer:?}"),
        }
    }
}

/// Tells from an instance what it must say it is.
pub type Compute = Arc<dyn Fn(&Instance) -> Option<String> + Send + Sync>;

/// What an instance must say it is.
///
/// A check that is asked about both the old and the new set needs an expectation that follows from the instance;
/// [`Release`](Self::Release) is for checks that only see the new one, such as a
/// [`SmokeCheck`](crate::gates::SmokeCheck).
#[derive(Clone)]
#[non_exhaustive]
pub enum Expected {
    /// This release, whichever instance is asked.
    Release(ReleaseId),
    /// The id of the instance that is asked.
    InstanceId,
    /// The digest of the instance that is asked.
    Digest,
    /// Computed from the instance that is asked; `None` means that it cannot be told, and the probe is unknown.
    Computed(Compute),
}

impl Expected {
    /// An expectation that follows from the instance in a way of your own: by its place, from its id, out of a table
    /// of digests.
    pub fn computed(expected: impl Fn(&Instance) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::Computed(Arc::new(expected))
    }

    fn of(&self, instance: &Instance) -> Option<String> {
        match self {
            Self::Release(release) => Some(release.to_string()),
            Self::InstanceId => Some(instance.id.to_string()),
            Self::Digest => Some(instance.digest.to_string()),
            Self::Computed(expected) => expected(instance),
        }
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(release) => write!(f, "Release({release:?})"),
            Self::InstanceId => f.write_str("InstanceId"),
            Self::Digest => f.write_str("Digest"),
            Self::Computed(_) => f.write_str("Computed"),
        }
    }
}

/// An [`HttpCheck`] whose answer must also come from the expected release. Finds the old process that still holds the
/// port, the proxy that answers for somebody else, and the image that is not what its tag says.
///
/// ```
/// use deployer_core::checks::{AnswerField, Expected, HttpCheck, IdentityCheck};
/// # fn example() -> Result<IdentityCheck, Vec<deployer_core::error::Problem>> {
/// # let release = deployer_core::model::ReleaseId::new("v2").unwrap();
/// let version = HttpCheck::get("/version").build()?;
/// IdentityCheck::new(version, AnswerField::Header("x-release".into()), Expected::Release(release))
/// # }
/// # assert!(example().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct IdentityCheck {
    http: HttpCheck,
    field: AnswerField,
    expected: Expected,
}

impl IdentityCheck {
    /// A check that compares this field of the answer.
    ///
    /// # Errors
    /// The field is neither a header name nor a JSON pointer.
    pub fn new(http: HttpCheck, field: AnswerField, expected: Expected) -> Result<Self, Vec<Problem>> {
        let problem = match &field {
            AnswerField::Header(name) => HeaderName::try_from(name.as_str())
                .err()
                .map(|_| Problem::new("field.header", format!("{} is no header name", quoted(name)))),
            AnswerField::Json(pointer) => {
                check_pointer(pointer).err().map(|why| Problem::new("field.json", why))
            }
        };
        match problem {
            None => Ok(Self { http, field, expected }),
            Some(problem) => Err(vec![problem]),
        }
    }

    fn said(&self, answer: &Answer) -> Result<String, String> {
        let nothing = || format!("does not say who it is: its answer has nothing in the {}", self.field);
        match &self.field {
            AnswerField::Header(name) => {
                let value = answer.head.headers.get(name.as_str()).ok_or_else(nothing)?;
                Ok(String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            AnswerField::Json(pointer) => match parse_json(&answer.body)?.pointer(pointer) {
                Some(serde_json::Value::String(text)) => Ok(text.clone()),
                Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                    Ok(value.to_string())
                }
                _ => Err(nothing()),
            },
        }
    }
}

#[async_trait]
impl HealthCheck for IdentityCheck {
    fn describe(&self) -> String {
        let who = match &self.expected {
            Expected::Release(release) => format!("release {release}"),
            Expected::InstanceId => "the id of the instance".to_owned(),
            Expected::Digest => "the digest of the instance".to_owned(),
            Expected::Computed(_) => "what belongs to the instance".to_owned(),
        };
        format!("{} and says {who} in the {}", self.http.describe(), self.field)
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let Some(expected) = self.expected.of(instance) else {
            return unknown(format!("it cannot be told what instance {} should answer as", instance.id));
        };
        let answer = match self.http.answer(context, instance).await {
            Ok(answer) => answer,
            Err(probe) => return probe,
        };
        match self.said(&answer) {
            Ok(said) if said == expected => Probe::Ok,
            Ok(said) => failed(format!("answered as {}, expected {}", quoted(&said), quoted(&expected))),
            Err(why) => failed(why),
        }
    }
}
