//! The accepted split as text: what the state file holds, and what nginx is told.

use std::fmt::Write as _;

use deployer_core::model::{Epoch, RouteMatch, Split};

use crate::{checksum::sha256, settings::NginxSettings};

const FORMAT: &str = "deployer live 1";

/// An accepted split: who wanted it, which number it has, and its text.
///
/// The text says everything twice: as JSON for this program, and line by line for nginx, which has no reader of JSON.
/// The stamp is a digest of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) epoch: Epoch,
    pub(super) generation: u64,
    pub(super) split: Split,
    pub(super) stamp: String,
    body: String,
}

impl Accepted {
    /// A split that was [checked](super::check::check).
    pub(super) fn new(epoch: Epoch, generation: u64, split: &Split, settings: &NginxSettings) -> Self {
        let body = body(split, settings);
        Self { epoch, generation, split: split.clone(), stamp: sha256(&body), body }
    }

    /// The same with another number.
    pub(super) fn numbered(&self, generation: u64) -> Self {
        Self { generation, ..self.clone() }
    }

    /// The same for another owner.
    pub(super) fn owned(&self, epoch: Epoch) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        let Self { epoch, generation, stamp, body, .. } = self;
        format!("{FORMAT}\nepoch {}\ngeneration {generation}\nstamp {stamp}\n{body}", epoch.0)
    }

    /// Reads a text back.
    ///
    /// # Errors
    /// In words, why it is not one that this program wrote.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut rest = text;
        let mut line = |word: &str| {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            line.strip_prefix(word)
        };
        if line(FORMAT) != Some("") {
            return Err("it is not of the format that this version writes");
        }
        let mut number = |word| line(word).and_then(|digits| digits.parse().ok());
        let (epoch, generation) = (number("epoch "), number("generation "));
        let stamp = line("stamp ");
        let (Some(epoch), Some(generation), Some(stamp)) = (epoch, generation, stamp) else {
            return Err("its head is not as this program writes it");
        };
        if sha256(rest) != stamp {
            return Err("it was edited by somebody else");
        }
        let json = rest.lines().next().and_then(|line| line.strip_prefix("split "));
        let split = json.and_then(|json| serde_json::from_str(json).ok());
        let split = split.ok_or("its split cannot be read")?;
        Ok(Self { epoch: Epoch(epoch), generation, split, stamp: stamp.to_owned(), body: rest.to_owned() })
    }
}

/// Free text is hexadecimal: whatever it holds, it stays one word of one line.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn body(split: &Split, settings: &NginxSettings) -> String {
    let json = serde_json::to_string(split).expect("names, numbers and text are JSON");
    let mut text = format!("split {json}\n");
    let _ = writeln!(text, "failures {} {}", settings.max_fails, settings.fail_timeout.as_secs());
    let _ = writeln!(text, "tries {}", settings.tries);
    if let Some(stickiness) = &settings.stickiness {
        let attributes =
            format!("; Path=/; HttpOnly; SameSite=Lax; Max-Age={}", stickiness.max_age.as_secs());
        let [name, attributes] = [&stickiness.cookie, &attributes].map(|text| hexadecimal(text.as_bytes()));
        let _ = writeln!(text, "sticky {name} {attributes}");
    }
    match split {
        Split::Maintenance(maintenance) => {
            let message = hexadecimal(maintenance.message.as_bytes());
            let _ = writeln!(text, "maintenance {} {message}", maintenance.retry_after_seconds);
        }
        Split::Serve { shares, routes } => {
            let unit = super::check::unit(shares);
            for share in shares {
                let _ = writeln!(text, "set {} {}", share.set, share.weight / unit);
                for member in &share.members {
                    // An address is a part of the check.
                    let Some(address) = member.address else { continue };
                    let _ = writeln!(text, "member {}", super::wire::member(&member.instance, address, " "));
                }
            }
            for route in routes {
                let (kind, name, value) = match &route.matches {
                    RouteMatch::Header { name, value } => ("header", name.to_ascii_lowercase(), value),
                    RouteMatch::Cookie { name, value } => ("cookie", name.clone(), value),
                };
                let [name, value] = [name.as_bytes(), value.as_bytes()].map(hexadecimal);
                let Some(index) = shares.iter().position(|share| share.set == route.set) else { continue };
                let _ = writeln!(text, "route {kind} {name} {value} {}", index + 1);
            }
        }
    }
    text.push_str("end\n");
    text
}

#[cfg(test)]
mod tests {
    use deployer_core::model::{Maintenance, Member, Route, Share};

    use super::*;

    fn serve() -> Split {
        let member = |instance: &str, address: &str| Member {
            instance: instance.parse().unwrap(),
            address: Some(address.parse().unwrap()),
        };
        let shares = vec![
            Share { set: "v1".parse().unwrap(), weight: 90, members: vec![member("v1-1", "127.0.0.1:4000")] },
            Share { set: "v2".parse().unwrap(), weight: 10, members: vec![member("v2-1", "[::1]:4001")] },
        ];
        let matches = RouteMatch::Header { name: "X-Lane".to_owned(), value: "new\"; }".to_owned() };
        Split::Serve { shares, routes: vec![Route { matches, set: "v2".parse().unwrap() }] }
    }

    #[test]
    fn text_and_back() {
        let maintenance =
            Split::Maintenance(Maintenance { retry_after_seconds: 7, message: "a\nb".to_owned() });
        for split in [Split::EMPTY, serve(), maintenance] {
            let accepted = Accepted::new(Epoch(3), 17, &split, &NginxSettings::default());
            assert_eq!(Accepted::parse(&accepted.text()).unwrap(), accepted);
        }
    }

    #[test]
    fn what_nginx_reads() {
        let text = Accepted::new(Epoch(3), 17, &serve(), &NginxSettings::default()).text();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("stamp ")).collect();
        let expected = [
            "failures 1 10",
            "tries 3",
            "set v1 9",
            "member v1-1 127.0.0.1 4000",
            "set v2 1",
            "member v2-1 [::1] 4001",
            "route header 782d6c616e65 6e6577223b207d 2",
            "end",
        ];
        assert_eq!(lines[..3], ["deployer live 1", "epoch 3", "generation 17"]);
        assert_eq!(lines[4..], expected);
    }

    #[test]
    fn edits_are_noticed() {
        let text = Accepted::new(Epoch(3), 17, &serve(), &NginxSettings::default()).text();
        for edited in [
            text.replace("4000", "4002"),
            text.replace("live 1", "live 2"),
            text.replace("epoch 3", "epoch x"),
            text[..text.len() - 1].to_owned(),
            String::new(),
        ] {
            assert!(Accepted::parse(&edited).is_err(), "{edited}");
        }
    }
}
