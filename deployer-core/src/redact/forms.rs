//! The forms in which a secret value turns up in text. Pure.

/// Shorter pieces are found in ordinary text.
const SHORTEST: usize = 4;
/// Shorter pieces of base64 are found in ordinary text.
const SHORTEST_BASE64: usize = 6;

/// The value itself, and how it looks inside of URLs, of JSON, of `Debug` and of base64. None for a value that is too
/// short.
pub(super) fn forms(value: &str) -> Vec<String> {
    if value.len() < SHORTEST {
        return Vec::new();
    }
    let escaped = serde_json::to_string(value).unwrap_or_default();
    let debug = format!("{value:?}");
    let mut forms = vec![
        value.to_owned(),
        escaped.trim_matches('"').to_owned(),
        debug.trim_matches('"').to_owned(),
        percent(value, false),
        percent(value, true),
        percent(value, false).replace("%20", "+"),
    ];
    for before in 0..3 {
        for alphabet in [STANDARD, URL] {
            let inner = base64_inside(value.as_bytes(), before, alphabet);
            forms.extend(Some(inner).filter(|inner| inner.len() >= SHORTEST_BASE64));
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

fn percent(value: &str, lower: bool) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if lower => format!("%{byte:02x}"),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The letters of base64 that depend on the value alone, where `before` bytes of something else (modulo 3) come first
/// and anything may follow.
fn base64_inside(value: &[u8], before: usize, alphabet: &[u8; 64]) -> String {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
    let bit = |at: usize| (bytes[at / 8] >> (7 - at % 8)) & 1;
    // A letter is six bits; those that have a bit of a neighbour are left out.
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let letter = |number: usize| {
        let index = (0..6).fold(0u8, |index, offset| index << 1 | bit(number * 6 + offset));
        char::from(alphabet[usize::from(index)])
    };
    (first..last).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_wherever_the_value_lies_in_it() {
        // "hunter2pass", "x:hunter2pass!" and "xy:hunter2pass" in base64, by another program.
        for whole in
            ["aHVudGVyMnBhc3M=", "eDpodW50ZXIycGFzcyE=", "eHk6aHVudGVyMnBhc3M=", "cjpodW50ZXIycGFzcw=="]
        {
            assert!(forms("hunter2pass").iter().any(|form| whole.contains(form)), "{whole}");
        }
        assert!(!forms("hunter3pass").iter().any(|form| "eDpodW50ZXIycGFzcyE=".contains(form)));
    }

    #[test]
    fn urls_and_escapes() {
        let all = forms("a b/\"c\"\n");
        for form in [
            "a b/\"c\"\n",
            "a b/\\\"c\\\"\\n",
            "a%20b%2F%22c%22%0A",
            "a%20b%2f%22c%22%0a",
            "a+b%2F%22c%22%0A",
        ] {
            assert!(all.iter().any(|known| known == form), "{form}: {all:?}");
        }
        assert_eq!(forms("abc"), [] as [String; 0], "that would be found everywhere");
    }
}
