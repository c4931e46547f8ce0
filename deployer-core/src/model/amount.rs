//! Counts and percentages of a set's size.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A whole percentage from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(100);

    /// # Errors
    /// The value is above 100.
    pub fn new(value: u64) -> Result<Self, String> {
        u8::try_from(value)
            .ok()
            .filter(|v| *v <= 100)
            .map(Self)
            .ok_or_else(|| format!("{value}% is above 100%"))
    }

    /// 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// This share of `n`, rounded up.
    pub fn of_rounded_up(self, n: u32) -> u32 {
        let share = (u64::from(n) * u64::from(self.0)).div_ceil(100);
        u32::try_from(share).unwrap_or(n)
    }

    /// This share of `n`, rounded down.
    pub fn of_rounded_down(self, n: u32) -> u32 {
        u32::try_from(u64::from(n) * u64::from(self.0) / 100).unwrap_or(n)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A number of instances, or a percentage of the replicas. Written as `3` or `"25%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Amount {
    /// This many instances.
    Count(u32),
    /// This share of the replicas.
    Percent(Percent),
}

impl Amount {
    /// # Errors
    /// The value is above 100.
    pub fn percent(value: u64) -> Result<Self, String> {
        Percent::new(value).map(Self::Percent)
    }

    /// In instances, a percentage rounded up (Kubernetes: `maxSurge`).
    pub fn rounded_up(self, replicas: u32) -> u32 {
        match self {
            Self::Count(n) => n,
            Self::Percent(p) => p.of_rounded_up(replicas),
        }
    }

    /// In instances, a percentage rounded down (Kubernetes: `maxUnavailable`).
    pub fn rounded_down(self, replicas: u32) -> u32 {
        match self {
            Self::Count(n) => n,
            Self::Percent(p) => p.of_rounded_down(replicas),
        }
    }

    /// Zero instances whatever the size.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Count(0)) || self == Self::Percent(Percent(0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Percent(p) => write!(f, "{p}"),
        }
    }
}

impl std::str::FromStr for Amount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is neither a number of instances nor a percentage such as \"25%\"");
        match text.strip_suffix('%') {
            Some(digits) => Self::percent(digits.parse().map_err(|_| bad())?),
            None => text.parse().map(Self::Count).map_err(|_| bad()),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(n) => serializer.serialize_u32(*n),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Count(u32),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Count(n) => Ok(Self::Count(n)),
            Raw::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_kubernetes() {
        let quarter = Amount::percent(25).unwrap();
        assert_eq!((quarter.rounded_up(10), quarter.rounded_down(10)), (3, 2));
        assert_eq!((quarter.rounded_up(1), quarter.rounded_down(1)), (1, 0));
        assert_eq!(Amount::percent(100).unwrap().rounded_up(u32::MAX), u32::MAX);
    }

    #[test]
    fn text_and_back() {
        for text in ["3", "\"25%\"", "\"0%\""] {
            let amount: Amount = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }
        for text in ["\"101%\"", "-1", "\"many\"", "1.5", "\"%\""] {
            assert!(serde_json::from_str::<Amount>(text).is_err(), "{text} was accepted");
        }
    }
}
