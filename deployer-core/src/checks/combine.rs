//! Checks made of checks, in three-valued logic (Kleene): unknown stays unknown unless the other side decides alone.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

mod sealed {
    pub trait Sealed {}
    impl<C: super::HealthCheck> Sealed for C {}
}

/// Combinations of checks. Both sides are asked at the same time, each within the whole deadline.
///
/// ```
/// use deployer_core::checks::{HealthCheckExt, HttpCheck, TcpCheck, TcpSettings};
/// # fn example() -> Result<(), Vec<deployer_core::error::Problem>> {
/// let listens = TcpCheck::new(TcpSettings::default())?;
/// let maintenance = HttpCheck::get("/maintenance").build()?;
/// let check = listens.and(maintenance.not());
/// # let _: &dyn deployer_core::ports::HealthCheck = &check;
/// # Ok(())
/// # }
/// # assert!(example().is_ok());
/// ```
pub trait HealthCheckExt: HealthCheck + Sized + sealed::Sealed {
    /// Ok if both are. Failed if one is, whatever the other says.
    fn and<B: HealthCheck>(self, other: B) -> And<Self, B> {
        And(self, other)
    }

    /// Ok if one is, whatever the other says. Failed if both are.
    fn or<B: HealthCheck>(self, other: B) -> Or<Self, B> {
        Or(self, other)
    }

    /// Ok if this one failed. An instance that nothing listens at fails most checks, so combine it with one that must
    /// hold.
    fn not(self) -> Not<Self> {
        Not(self)
    }
}

impl<C: HealthCheck> HealthCheckExt for C {}

/// Both must hold; made by [`HealthCheckExt::and`].
#[derive(Debug, Clone)]
pub struct And<A, B>(A, B);

/// One must hold; made by [`HealthCheckExt::or`].
#[derive(Debug, Clone)]
pub struct Or<A, B>(A, B);

/// It must not hold; made by [`HealthCheckExt::not`].
#[derive(Debug, Clone)]
pub struct Not<A>(A);

#[async_trait]
impl<A: HealthCheck, B: HealthCheck> HealthCheck for And<A, B> {
    fn describe(&self) -> String {
        format!("({} and {})", self.0.describe(), self.1.describe())
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let (a, b) = futures::join!(self.0.probe(context, instance), self.1.probe(context, instance));
        both(a, b)
    }
}

#[async_trait]
impl<A: HealthCheck, B: HealthCheck> HealthCheck for Or<A, B> {
    fn describe(&self) -> String {
        format!("({} or {})", self.0.describe(), self.1.describe())
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let (a, b) = futures::join!(self.0.probe(context, instance), self.1.probe(context, instance));
        either(a, b)
    }
}

#[async_trait]
impl<A: HealthCheck> HealthCheck for Not<A> {
    fn describe(&self) -> String {
        format!("not {}", self.0.describe())
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        match self.0.probe(context, instance).await {
            Probe::Ok => Probe::Failed { why: format!("should not hold: {}", self.0.describe()) },
            Probe::Failed { .. } => Probe::Ok,
            unknown @ Probe::Unknown { .. } => unknown,
        }
    }
}

/// A check that is used elsewhere too, to be combined like an owned one.
#[derive(Debug, Clone)]
pub struct Shared(pub Arc<dyn HealthCheck>);

#[async_trait]
impl HealthCheck for Shared {
    fn describe(&self) -> String {
        self.0.describe()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        self.0.probe(context, instance).await
    }
}

fn both(a: Probe, b: Probe) -> Probe {
    match (a, b) {
        (Probe::Failed { why: a }, Probe::Failed { why: b }) => Probe::Failed { why: format!("{a}; {b}") },
        (failed @ Probe::Failed { .. }, _) | (_, failed @ Probe::Failed { .. }) => failed,
        (Probe::Unknown { why: a }, Probe::Unknown { why: b }) => Probe::Unknown { why: format!("{a}; {b}") },
        (unknown @ Probe::Unknown { .. }, Probe::Ok) | (Probe::Ok, unknown @ Probe::Unknown { .. }) => {
            unknown
        }
        (Probe::Ok, Probe::Ok) => Probe::Ok,
    }
}

fn either(a: Probe, b: Probe) -> Probe {
    match (a, b) {
        (Probe::Ok, _) | (_, Probe::Ok) => Probe::Ok,
        (Probe::Unknown { why: a }, Probe::Unknown { why: b }) => Probe::Unknown { why: format!("{a}; {b}") },
        (unknown @ Probe::Unknown { .. }, Probe::Failed { .. })
        | (Probe::Failed { .. }, unknown @ Probe::Unknown { .. }) => unknown,
        (Probe::Failed { why: a }, Probe::Failed { why: b }) => Probe::Failed { why: format!("{a}; {b}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::check_fn;

    const VALUES: [char; 3] = ['+', '-', '?'];

    fn always(value: char, name: &'static str) -> impl HealthCheck {
        check_fn(name, move |_, _| async move {
            match value {
                '+' => Probe::Ok,
                '-' => Probe::Failed { why: name.to_owned() },
                _ => Probe::Unknown { why: name.to_owned() },
            }
        })
    }

    async fn ask(check: &dyn HealthCheck) -> (char, String) {
        let (context, instance) = crate::checks::tests_support::asked("127.0.0.1:1");
        match check.probe(&context, &instance).await {
            Probe::Ok => ('+', String::new()),
            Probe::Failed { why } => ('-', why),
            Probe::Unknown { why } => ('?', why),
        }
    }

    #[tokio::test]
    async fn the_tables_are_those_of_kleene() {
        let and = ["+-?", "---", "?-?"];
        let or = ["+++", "+-?", "+??"];
        for (row, a) in VALUES.into_iter().enumerate() {
            for (column, b) in VALUES.into_iter().enumerate() {
                let expected = |table: [&str; 3]| table[row].chars().nth(column).unwrap();
                let conjunction = ask(&always(a, "a").and(always(b, "b"))).await;
                assert_eq!(conjunction.0, expected(and), "{a} and {b}");
                let disjunction = ask(&always(a, "a").or(always(b, "b"))).await;
                assert_eq!(disjunction.0, expected(or), "{a} or {b}");
            }
        }
        for (value, inverse) in VALUES.into_iter().zip(['-', '+', '?']) {
            assert_eq!(ask(&always(value, "a").not()).await.0, inverse, "not {value}");
        }
    }

    #[tokio::test]
    async fn a_verdict_carries_the_reasons_it_rests_on_and_no_others() {
        assert_eq!(ask(&always('-', "a").and(always('-', "b"))).await.1, "a; b");
        assert_eq!(ask(&always('-', "a").and(always('?', "b"))).await.1, "a");
        assert_eq!(ask(&always('-', "a").or(always('?', "b"))).await.1, "b");
        assert_eq!(ask(&always('+', "a").not()).await.1, "should not hold: a");
    }

    #[tokio::test]
    async fn shared_checks_combine() {
        let shared = Shared(Arc::new(always('-', "a")));
        let check = shared.clone().or(shared.not());
        assert_eq!(check.describe(), "(a or not a)");
        assert_eq!(ask(&check).await.0, '+');
    }
}
