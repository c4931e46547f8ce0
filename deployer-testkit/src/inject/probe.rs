//! Wrapped health checks.

use async_trait::async_trait;
use deployer_core::{
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

use super::{PortKind::Health as Kind, Wrapped, wrapped::Way};

#[async_trait]
impl HealthCheck for Wrapped<dyn HealthCheck> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let (call, way) = self.begin(Kind, "probe", instance.id.to_string()).await;
        let answer = match way {
            Way::Fail(_) => return Probe::Unknown { why: format!("{call} was made to fail") },
            Way::Once => self.inner.probe(context, instance).await,
            Way::Twice => {
                self.inner.probe(context, instance).await;
                self.inner.probe(context, instance).await
            }
        };
        if self.end(&call).await {
            return answer;
        }
        Probe::Unknown { why: format!("the answer of {call} was made to be lost") }
    }
}
