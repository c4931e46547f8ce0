//! Small changes by chance, from a seed.

/// Numbers at the edges of what fits somewhere.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e400",
    "1e-400",
    "0.1",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "1e19",
    "null",
    "\"\"",
];

/// Changes inputs.
#[derive(Debug, Clone)]
pub(super) struct Mutator(u64);

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A changed copy of an input; others of its kind are there to be taken from.
    pub(super) fn change(&mut self, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.once(&mut bytes, others);
        }
        bytes.truncate(64 * 1024);
        bytes
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }

    fn once(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(40)).min(bytes.len());
        match self.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap_or(0),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let byte = [b'\n', b'"', b'{', b'}', b',', 0, 0xff][self.below(7)];
                bytes.insert(at, byte);
            }
            5 => self.number(bytes),
            6 => {
                let other = others.get(self.below(others.len())).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len() + 1);
                let to = (from + self.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => self.line(bytes),
        }
    }

    /// Another number in the place of one.
    fn number(&mut self, bytes: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..bytes.len())
            .filter(|at| {
                bytes[*at].is_ascii_digit() && (*at == 0 || matches!(bytes[*at - 1], b':' | b',' | b'['))
            })
            .collect();
        let Some(start) = starts.get(self.below(starts.len())).copied() else { return };
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let number = NUMBERS[self.below(NUMBERS.len())].bytes();
        bytes.splice(start..start + length, number);
    }

    /// A line away, twice, or elsewhere.
    fn line(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> =
            bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        let (one, other) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(3) {
            0 => drop(lines.remove(one)),
            1 => lines.insert(other, lines[one].clone()),
            _ => lines.swap(one, other),
        }
        *bytes = lines.concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_changes_the_same_way_and_changes_differ() {
        let input = b"{\"epoch\":1,\"seq\":0}\n{\"epoch\":1,\"seq\":1}\n".to_vec();
        let some = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..500).map(|_| mutator.change(&input, &[input.clone(), Vec::new()])).collect::<Vec<_>>()
        };
        assert_eq!(some(3), some(3));
        let mut different = some(3);
        different.sort();
        different.dedup();
        assert!(different.len() > 300, "{}", different.len());
        let mut mutator = Mutator::new(9);
        for _ in 0..100 {
            let _ = mutator.change(&[], &[]);
        }
    }
}
