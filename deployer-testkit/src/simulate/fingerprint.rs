//! One number for everything that happened.

/// A hash of what happened, in order: the same in every process and on every machine. FNV over words of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        self.word(
            words.remainder().iter().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte)),
        );
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_bounds_count() {
        let of = |parts: &[&str]| {
            let mut fingerprint = Fingerprint::new();
            for part in parts {
                fingerprint.bytes(part.as_bytes());
            }
            fingerprint.value()
        };
        assert_eq!(of(&["one", "two"]), of(&["one", "two"]));
        assert_ne!(of(&["one", "two"]), of(&["two", "one"]));
        assert_ne!(of(&["one", "two"]), of(&["on", "etwo"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
    }
}
