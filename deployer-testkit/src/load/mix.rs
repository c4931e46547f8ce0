//! Which shapes of requests are sent, and in which order.

use serde::{Deserialize, Serialize};

/// One shape of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestShape {
    /// POST with a body on a connection that is kept for later requests.
    KeepAlivePost,
    /// GET on a connection that is kept for later requests.
    KeepAliveGet,
    /// GET on a connection of its own.
    FreshGet,
    /// POST with a body on a connection of its own.
    FreshPost,
}

impl RequestShape {
    /// Whether its connection is kept for later requests.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::KeepAlivePost | Self::KeepAliveGet)
    }

    /// Whether it sends a body and expects it back.
    pub const fn is_post(self) -> bool {
        matches!(self, Self::KeepAlivePost | Self::FreshPost)
    }
}

/// How many parts of all requests have which shape. At most 1000 parts in sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Parts of [`RequestShape::KeepAlivePost`].
    pub keep_alive_post: u32,
    /// Parts of [`RequestShape::KeepAliveGet`].
    pub keep_alive_get: u32,
    /// Parts of [`RequestShape::FreshGet`].
    pub fresh_get: u32,
    /// Parts of [`RequestShape::FreshPost`].
    pub fresh_post: u32,
}

impl Default for Mix {
    /// Half kept POST, half fresh GET: the shape that loses most when a switch is done badly, and the shape of a
    /// browser's first request.
    fn default() -> Self {
        Self { keep_alive_post: 1, fresh_get: 1, ..Self::NONE }
    }
}

impl Mix {
    /// No requests at all: to be filled with `..Mix::NONE`. Not a mix that can be started.
    pub const NONE: Self = Self { keep_alive_post: 0, keep_alive_get: 0, fresh_get: 0, fresh_post: 0 };

    const MAX_PARTS: u64 = 1000;

    fn parts(&self) -> [(RequestShape, u32); 4] {
        [
            (RequestShape::KeepAlivePost, self.keep_alive_post),
            (RequestShape::FreshGet, self.fresh_get),
            (RequestShape::KeepAliveGet, self.keep_alive_get),
            (RequestShape::FreshPost, self.fresh_post),
        ]
    }

    /// One round of shapes, each spread as evenly as it goes (smooth weighted round robin, as nginx does).
    /// `None` if there are no parts or too many.
    pub(super) fn round(&self) -> Option<Vec<RequestShape>> {
        let parts = self.parts();
        let sum: u64 = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if sum == 0 || sum > Self::MAX_PARTS {
            return None;
        }
        let total = i64::try_from(sum).unwrap_or(i64::MAX);
        let mut credit = [0_i64; 4];
        let mut round = Vec::new();
        for _ in 0..sum {
            let mut best = 0;
            for index in 0..parts.len() {
                credit[index] += i64::from(parts[index].1);
                if credit[index] > credit[best] {
                    best = index;
                }
            }
            credit[best] -= total;
            round.push(parts[best].0);
        }
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_every_part_and_spreads_it() {
        use RequestShape::{FreshGet, KeepAlivePost};
        assert_eq!(Mix::default().round().unwrap(), [KeepAlivePost, FreshGet]);
        let three_to_one = Mix { keep_alive_post: 3, fresh_get: 1, ..Mix::NONE };
        let round = three_to_one.round().unwrap();
        assert_eq!(round.iter().filter(|shape| **shape == KeepAlivePost).count(), 3);
        assert_eq!(round.iter().filter(|shape| **shape == FreshGet).count(), 1);
        assert_ne!(round[3], FreshGet, "the odd one stands inside, not at the end: {round:?}");
    }

    #[test]
    fn no_parts_and_too_many_are_refused() {
        assert!(Mix::NONE.round().is_none());
        assert!(Mix { keep_alive_post: 600, fresh_get: 600, ..Mix::NONE }.round().is_none());
        assert!(Mix { keep_alive_post: u32::MAX, fresh_get: u32::MAX, ..Mix::NONE }.round().is_none());
    }
}
