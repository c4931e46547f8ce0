//! Whatever a user holds of a port becomes shared.

use std::sync::Arc;

use crate::{
    ports::{
        BackupProvider, Clock, Gate, HealthCheck, Journal, Lock, Notifier, RequestStore, Target,
        TrafficRouter,
    },
    strategy::Strategy,
};

/// A value of a port, an `Arc` of one, or an `Arc<dyn Port>`: all are taken by the builder.
pub trait IntoShared<P: ?Sized> {
    /// The shared value.
    fn into_shared(self) -> Arc<P>;
}

macro_rules! shared {
    ($($port:ident),*) => {$(
        impl<T: $port> IntoShared<dyn $port> for T {
            fn into_shared(self) -> Arc<dyn $port> {
                Arc::new(self)
            }
        }

        impl<T: $port> IntoShared<dyn $port> for Arc<T> {
            fn into_shared(self) -> Arc<dyn $port> {
                self
            }
        }

        impl IntoShared<dyn $port> for Arc<dyn $port> {
            fn into_shared(self) -> Arc<dyn $port> {
                self
            }
        }
    )*};
}

shared!(
    BackupProvider,
    Clock,
    Gate,
    HealthCheck,
    Journal,
    Lock,
    Notifier,
    RequestStore,
    Strategy,
    Target,
    TrafficRouter
);
