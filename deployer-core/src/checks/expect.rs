//! Which status codes are right.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A status code or a range of them, both ends included. Written as `204` or `"200-299"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The first code that is right.
    pub first: u16,
    /// The last code that is right.
    pub last: u16,
}

impl StatusRange {
    /// 200 to 299.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// Whether a code is right.
    pub fn contains(self, code: u16) -> bool {
        (self.first..=self.last).contains(&code)
    }

    /// Whether an HTTP server can answer with something in this range.
    pub fn is_possible(self) -> bool {
        200 <= self.first && self.first <= self.last && self.last <= 599
    }
}

impl From<u16> for StatusRange {
    fn from(code: u16) -> Self {
        Self { first: code, last: code }
    }
}

impl From<RangeInclusive<u16>> for StatusRange {
    fn from(range: RangeInclusive<u16>) -> Self {
        Self { first: *range.start(), last: *range.end() }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is neither a status code nor a range such as \"200-299\"");
        let code = |digits: &str| digits.parse::<u16>().map_err(|_| bad());
        match text.split_once('-') {
            Some((first, last)) => Ok(Self { first: code(first)?, last: code(last)? }),
            None => code(text).map(Self::from),
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Code(u16),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Code(code) => Ok(Self::from(code)),
            Raw::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// Ranges as one phrase: `200-299 or 304`.
pub(super) fn in_words(ranges: &[StatusRange]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// A text of somebody else in a message: quoted, control characters escaped, at most 120 characters.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["204", "\"200-299\""] {
            let range: StatusRange = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&range).unwrap(), text);
            assert!(range.is_possible());
        }
        for text in ["\"2xx\"", "-1", "70000", "\"200-\"", "\"-299\"", "\"1-2-3\""] {
            assert!(serde_json::from_str::<StatusRange>(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn both_ends_belong_to_a_range() {
        let codes = [199, 200, 299, 300].map(|code| StatusRange::SUCCESS.contains(code));
        assert_eq!(codes, [false, true, true, false]);
        for (first, last) in [(300, 200), (0, 99), (200, 600), (100, 199)] {
            assert!(!StatusRange { first, last }.is_possible(), "{first}-{last} was accepted");
        }
    }

    #[test]
    fn a_quote_is_short_and_harmless() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r#""a\n\u{1b}[31m""#);
        assert_eq!(quoted(&"ä".repeat(500)).chars().count(), 123);
    }
}
