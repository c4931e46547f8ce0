//! Whether something listens, and how it greets.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::{
    connect::{Limit, connect, failed},
    expect::quoted,
};
use crate::{
    error::Problem,
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

/// The longest greeting in bytes.
const LONGEST_BANNER: usize = 1024;

/// What a TCP check expects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpSettings {
    /// What the instance must send first, at most 1024 bytes: `220 ` for SMTP. Default: nothing has to be sent.
    pub banner: Option<String>,
}

/// Connects to exactly the address of the instance; where asked, the first bytes that come back must be right.
///
/// A connection alone says little: the kernel accepts it for a process that hangs. Where the service speaks HTTP, use
/// [`HttpCheck`](super::HttpCheck).
///
/// ```
/// use deployer_core::checks::{TcpCheck, TcpSettings};
///
/// let check = TcpCheck::new(TcpSettings { banner: Some("220 ".into()) });
/// assert!(check.is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct TcpCheck {
    settings: TcpSettings,
}

impl TcpCheck {
    /// A check with these settings.
    ///
    /// # Errors
    /// The banner is empty or too long.
    pub fn new(settings: TcpSettings) -> Result<Self, Vec<Problem>> {
        match settings.banner.as_deref().map(str::len) {
            Some(0) => Err(vec![Problem::new("banner", "is empty: leave it out if nothing has to be sent")]),
            Some(length) if length > LONGEST_BANNER => {
                Err(vec![Problem::new("banner", format!("has {length} bytes: use at most {LONGEST_BANNER}"))])
            }
            _ => Ok(Self { settings }),
        }
    }

    async fn check(&self, context: &CallContext, instance: &Instance) -> Result<(), Probe> {
        let limit = Limit::within(context.deadline, None);
        let mut stream = connect(instance, limit).await?;
        let Some(banner) = self.settings.banner.as_deref() else { return Ok(()) };
        let mut start = vec![0; banner.len()];
        let mut length = 0;
        while length < start.len() && banner.as_bytes().starts_with(&start[..length]) {
            let said = quoted(&String::from_utf8_lossy(&start[..length]));
            match limit.run(stream.read(&mut start[length..])).await {
                None => {
                    return Err(failed(format!("said {said} within {:?}, expected {banner:?}", limit.total)));
                }
                Some(Ok(0)) => {
                    return Err(failed(format!(
                        "said {said} and closed the connection, expected {banner:?}"
                    )));
                }
                Some(Ok(read)) => length += read,
                Some(Err(error)) => {
                    return Err(failed(format!("said {said} and broke off the connection: {error}")));
                }
            }
        }
        let said = &start[..length];
        if said == banner.as_bytes() {
            Ok(())
        } else {
            Err(failed(format!("said {}, expected {banner:?}", quoted(&String::from_utf8_lossy(said)))))
        }
    }
}

#[async_trait]
impl HealthCheck for TcpCheck {
    fn describe(&self) -> String {
        match &self.settings.banner {
            None => "accepts TCP connections".to_owned(),
            Some(banner) => format!("greets TCP connections with {banner:?}"),
        }
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        match self.check(context, instance).await {
            Ok(()) => Probe::Ok,
            Err(probe) => probe,
        }
    }
}
