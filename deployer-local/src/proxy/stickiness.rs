//! Clients that stay with a set while the weights allow it.

use std::{fmt, time::Duration};

use deployer_core::error::Problem;
use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use serde::{Deserialize, Serialize};

use super::{cookie, settings::optional_seconds};

/// The longest time that browsers keep a cookie (RFC 6265bis): 400 days.
const LONGEST_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Clients stay with a set while the weights allow it: a client without the cookie gets one with a number of its own,
/// and that number, not chance, decides which set takes its requests.
///
/// Raising a weight moves only the clients between the old and the new boundary, lowering it moves only those back:
/// the sets, in the order of their names, share the numbers among them. [Routes](deployer_core::model::Route) win over
/// it. A client that keeps no cookies is a new client each time.
///
/// The cookie is the proxy's own: members neither see it nor can they set one of its name. It holds nothing but a
/// random number, and nothing is stored here. A cache in front of the proxy must not store answers with it.
///
/// ```
/// use deployer_local::proxy::Stickiness;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sticky = Stickiness::cookie("shop-client")?;
/// assert_eq!(sticky.name(), "shop-client");
/// assert!(Stickiness::cookie("no name; Path=/").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Stickiness {
    cookie: String,
    lifetime: Option<Duration>,
    secure: bool,
}

/// Why stickiness cannot be set up so: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidStickiness {
    /// What is wrong, each with the setting's name.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidStickiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid stickiness")?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidStickiness {}

/// As it stands in settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    cookie: String,
    #[serde(default, with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    lifetime: Option<Duration>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    secure: bool,
}

impl Stickiness {
    /// With a cookie of this name, for as long as the client's program runs.
    ///
    /// # Errors
    /// The name is no token of RFC 6265, is longer than 64 bytes, or begins with `__Host-` or `__Secure-`: for those
    /// see [`secure_cookie`](Self::secure_cookie).
    pub fn cookie(name: impl Into<String>) -> Result<Self, InvalidStickiness> {
        Written { cookie: name.into(), lifetime: None, secure: false }.try_into()
    }

    /// The same with attribute `Secure`, for clients that come by TLS, which somebody in front of the proxy ends.
    ///
    /// # Errors
    /// The name is no token of RFC 6265, or is longer than 64 bytes.
    pub fn secure_cookie(name: impl Into<String>) -> Result<Self, InvalidStickiness> {
        Written { cookie: name.into(), lifetime: None, secure: true }.try_into()
    }

    /// With a cookie that outlives the client's program and lasts this long after it was given.
    ///
    /// # Errors
    /// Shorter than 1 s or longer than 400 days, which browsers cut.
    pub fn lifetime(self, lifetime: Duration) -> Result<Self, InvalidStickiness> {
        Written { lifetime: Some(lifetime), ..self.into() }.try_into()
    }

    /// The name of the cookie.
    pub fn name(&self) -> &str {
        &self.cookie
    }

    /// Which client this is; `None` if it has no number yet, or one that was never given out in this form.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<ClientNumber> {
        cookie::values(headers, self.cookie.as_bytes()).find_map(ClientNumber::read)
    }

    /// Takes the cookie out of a request: it is none of the members' business.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        cookie::remove(headers, self.cookie.as_bytes());
    }

    /// Puts the cookie into an answer, the only one of this name.
    pub(super) fn answer(&self, headers: &mut HeaderMap, new_client: Option<HeaderValue>) {
        cookie::remove_set(headers, self.cookie.as_bytes());
        if let Some(cookie) = new_client {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// What is sent to a client that has no number yet.
    pub(super) fn set_cookie(&self, client: ClientNumber) -> HeaderValue {
        use fmt::Write as _;
        let mut text = format!("{}={}; Path=/; HttpOnly; SameSite=Lax", self.cookie, client.text());
        if let Some(lifetime) = self.lifetime {
            let _ = write!(text, "; Max-Age={}", lifetime.as_secs());
        }
        if self.secure {
            text.push_str("; Secure");
        }
        HeaderValue::try_from(text).expect("a token, hexadecimal digits and fixed text are visible ASCII")
    }
}

impl TryFrom<Written> for Stickiness {
    type Error = InvalidStickiness;

    fn try_from(Written { cookie, lifetime, secure }: Written) -> Result<Self, InvalidStickiness> {
        let mut problems = Vec::new();
        if !cookie::is_name(&cookie) || cookie.len() > 64 {
            let shown: String = cookie.chars().take(80).collect();
            let message = format!("{shown:?} cannot be the name of a cookie; use up to 64 of [A-Za-z0-9_.-]");
            problems.push(Problem::new("cookie", message));
        }
        let begins =
            |prefix: &str| cookie.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if !secure && (begins("__Host-") || begins("__Secure-")) {
            let message = format!("clients take {cookie:?} only with the attribute Secure; switch secure on");
            problems.push(Problem::new("cookie", message));
        }
        if lifetime.is_some_and(|lifetime| lifetime < Duration::from_secs(1) || lifetime > LONGEST_LIFETIME) {
            problems.push(Problem::new("lifetime", "use 1 s to 400 days, the longest that clients keep"));
        }
        if problems.is_empty() {
            Ok(Self { cookie, lifetime, secure })
        } else {
            Err(InvalidStickiness { problems })
        }
    }
}

impl From<Stickiness> for Written {
    fn from(Stickiness { cookie, lifetime, secure }: Stickiness) -> Self {
        Self { cookie, lifetime, secure }
    }
}

/// What tells one client from another: in the cookie it is 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientNumber(pub(super) u128);

impl ClientNumber {
    /// Of a cookie's value; `None` for what was never given out in this form.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if value.len() != 32 || !value.iter().all(digits) {
            return None;
        }
        u128::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok().map(Self)
    }

    fn text(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Where the client stands among all, as a fraction of 2^64. It is hashed in the way of nginx's `split_clients`,
    /// so that a client stands in the same place there.
    pub(super) fn point(self) -> u64 {
        u64::from(murmur2(self.text().as_bytes())) << 32
    }
}

/// `MurmurHash2` (Austin Appleby), 32 bits, seeded with the length, as nginx has it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).expect("32 digits");
    let mut hash = length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The percentages are what nginx 1.22.1 answered with a hundred parts of 1 %.
    #[test]
    fn clients_stand_where_nginx_has_them() {
        let cases = [
            ("00000000000000000000000000000000", 0xa298_86da, 63),
            ("00000000000000000000000000000001", 0xa096_fec5, 62),
            ("0123456789abcdef0123456789abcdef", 0x7332_33f1, 44),
            ("ffffffffffffffffffffffffffffffff", 0x3bfa_2f43, 23),
        ];
        for (text, hash, percent) in cases {
            let client = ClientNumber::read(text.as_bytes()).unwrap();
            assert_eq!(client.text(), text);
            assert_eq!(client.point(), hash << 32);
            assert_eq!((u128::from(client.point()) * 100) >> 64, percent);
        }
        assert_eq!((murmur2(b"abc"), murmur2(b"a")), (0x1357_7c9b, 0x9268_5f5e));
    }

    #[test]
    fn only_what_was_given_out_is_read() {
        for no in ["", "1", "0123456789ABCDEF0123456789ABCDEF", "+123456789abcdef0123456789abcdef"] {
            assert_eq!(ClientNumber::read(no.as_bytes()), None, "{no}");
        }
        assert_eq!(ClientNumber::read(&[b'0'; 33]), None);
    }

    #[test]
    fn the_cookie_says_how_long_and_where() {
        let client = ClientNumber(0xab);
        let number = "000000000000000000000000000000ab";
        let plain = Stickiness::cookie("own").unwrap();
        let expected = format!("own={number}; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(plain.set_cookie(client), expected);
        let secure = Stickiness::secure_cookie("__Host-own").unwrap();
        let secure = secure.lifetime(Duration::from_secs(60)).unwrap();
        let expected = format!("__Host-own={number}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(secure.set_cookie(client), expected);
    }

    #[test]
    fn text_and_back() {
        for text in ["{\"cookie\":\"own\"}", "{\"cookie\":\"own\",\"lifetime\":3600.0,\"secure\":true}"] {
            let stickiness: Stickiness = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&stickiness).unwrap(), text);
        }
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let places = |text: &str| serde_json::from_str::<Stickiness>(text).unwrap_err().to_string();
        let message = places("{\"cookie\":\"a b\",\"lifetime\":0.5}");
        assert!(message.contains("cookie") && message.contains("lifetime"), "{message}");
        for name in ["", "a=b", "a;b", "a\nb", "é", "__Host-own", "__secure-own", &"n".repeat(65)] {
            let problems = Stickiness::cookie(name).unwrap_err().problems;
            assert!(problems.iter().all(|problem| problem.at == "cookie"), "{name}: {problems:?}");
        }
        assert!(Stickiness::cookie("own").unwrap().lifetime(Duration::from_secs(401 * 86400)).is_err());
        assert!(serde_json::from_str::<Stickiness>("{\"cookie\":\"own\",\"path\":\"/\"}").is_err());
    }
}
