//! One line of the log.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;

/// Ten thousand years: what is above is no time.
const LATEST_SECONDS: f64 = 3.2e11;

/// One request as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it had ended, since the epoch.
    pub(super) at: Duration,
    /// Whom it was sent to, in order. None if nginx answered by itself.
    pub(super) attempts: Vec<Attempt>,
}

/// One member that a request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// `$upstream_addr`: an address, or the name of an upstream that has nobody.
    pub(super) member: String,
    pub(super) outcome: Outcome,
    /// Until the head of the answer, or until it was given up.
    pub(super) time: Duration,
}

/// How a member answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// Status 5xx, or no answer.
    Bad,
    /// The client left before there was an answer.
    ClientGone,
}

/// As the format writes it. What is not in it makes a line another's.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    time: f64,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    took: Cow<'a, str>,
    #[serde(borrow)]
    members: Cow<'a, str>,
    #[serde(borrow)]
    answers: Cow<'a, str>,
    #[serde(borrow)]
    heads: Cow<'a, str>,
}

impl Entry {
    /// Of a line without its end; `None` for one of another form.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        if !(0.0..LATEST_SECONDS).contains(&line.time) {
            return None;
        }
        let at = Duration::try_from_secs_f64(line.time).ok()?;
        let took = seconds(&line.took)?;
        if matches!(&*line.members, "" | "-") {
            return Some(Self { at, attempts: Vec::new() });
        }
        let (members, answers, heads) =
            (entries(&line.members), entries(&line.answers), entries(&line.heads));
        if members.len() != answers.len() {
            return None;
        }
        let mut attempts = Vec::with_capacity(members.len());
        let last = members.len().checked_sub(1);
        for (index, (member, answer)) in members.into_iter().zip(answers).enumerate() {
            let is_left = line.status == "499" && Some(index) == last;
            let outcome = match answer {
                "-" if is_left => Outcome::ClientGone,
                "-" => Outcome::Bad,
                status if is_status(status) && status.starts_with('5') => Outcome::Bad,
                status if is_status(status) => Outcome::Good,
                _ => return None,
            };
            // A head that never came has no time; the whole request is the longest it can have been.
            let time = heads.get(index).and_then(|head| seconds(head)).unwrap_or(took);
            attempts.push(Attempt { member: member.to_owned(), outcome, time });
        }
        Some(Self { at, attempts })
    }
}

/// nginx parts the members of one upstream by `, `, and those of one upstream and the next, after an internal
/// redirect, by ` : `, which may stand at the end, too.
fn entries(text: &str) -> Vec<&str> {
    let groups = text.split(", ").flat_map(|group| group.split(" : "));
    groups.map(str::trim).filter(|one| !one.is_empty()).collect()
}

fn is_status(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `None` for what is no time, `-` included.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(status: &str, members: &str, answers: &str, heads: &str) -> Option<Entry> {
        let text = format!(
            "{{\"time\":1700000000.250,\"status\":\"{status}\",\"took\":\"1.500\",\"members\":\"{members}\",\
             \"answers\":\"{answers}\",\"heads\":\"{heads}\"}}"
        );
        Entry::read(text.as_bytes())
    }

    fn outcomes(entry: Option<Entry>) -> Vec<(String, Outcome, u128)> {
        let attempts = entry.unwrap().attempts.into_iter();
        attempts.map(|attempt| (attempt.member, attempt.outcome, attempt.time.as_millis())).collect()
    }

    #[test]
    fn each_member_that_was_asked_is_an_attempt() {
        use Outcome::{Bad, ClientGone, Good};
        let (a, b) = ("127.0.0.1:4001", "[::1]:4002");
        let one = |member: &str, outcome, time| (member.to_owned(), outcome, time);
        let got = line("200", a, "200", "0.004").unwrap();
        assert_eq!(got.at, Duration::from_millis(1_700_000_000_250));
        assert_eq!(outcomes(Some(got)), [one(a, Good, 4)]);
        let two = format!("{a}, {b}");
        assert_eq!(
            outcomes(line("200", &two, "502, 200", "-, 0.010")),
            [one(a, Bad, 1500), one(b, Good, 10)]
        );
        let redirected = format!("{a} : {b}");
        assert_eq!(
            outcomes(line("404", &redirected, "200 : 404", "0.001 : 0.002")),
            [one(a, Good, 1), one(b, Good, 2)]
        );
        let at_the_end = format!("{a} : ");
        assert_eq!(outcomes(line("200", &at_the_end, "200 : ", "0.001 : ")), [one(a, Good, 1)]);
        assert_eq!(outcomes(line("499", a, "-", "-")), [one(a, ClientGone, 1500)]);
        assert_eq!(
            outcomes(line("499", &two, "504, -", "-, -")),
            [one(a, Bad, 1500), one(b, ClientGone, 1500)]
        );
        assert_eq!(outcomes(line("504", a, "504", "-")), [one(a, Bad, 1500)]);
        assert_eq!(outcomes(line("502", a, "-", "-")), [one(a, Bad, 1500)]);
        assert_eq!(outcomes(line("502", "web_v1", "502", "-")), [one("web_v1", Bad, 1500)]);
        assert_eq!(outcomes(line("101", a, "101", "0.003")), [one(a, Good, 3)]);
        for nobody in ["", "-"] {
            assert!(outcomes(line("503", nobody, nobody, nobody)).is_empty());
        }
    }

    #[test]
    fn another_form_is_no_entry() {
        let cases: [&[u8]; 12] = [
            b"",
            b"{}",
            b"[]",
            b"\xff\xfe",
            b"127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 2326",
            b"{\"time\":-1,\"status\":\"200\",\"took\":\"1\",\"members\":\"\",\"answers\":\"\",\"heads\":\"\"}",
            b"{\"time\":1e300,\"status\":\"200\",\"took\":\"1\",\"members\":\"\",\"answers\":\"\",\"heads\":\"\"}",
            b"{\"time\":1,\"status\":\"200\",\"took\":\"-1\",\"members\":\"\",\"answers\":\"\",\"heads\":\"\"}",
            b"{\"time\":1,\"status\":\"200\",\"took\":\"1\",\"members\":\"a, b\",\"answers\":\"200\",\"heads\":\"\"}",
            b"{\"time\":1,\"status\":\"200\",\"took\":\"1\",\"members\":\"a\",\"answers\":\"20x\",\"heads\":\"\"}",
            b"{\"time\":1,\"status\":200,\"took\":\"1\",\"members\":\"\",\"answers\":\"\",\"heads\":\"\"}",
            b"{\"time\":1,\"status\":\"200\",\"took\":\"1\",\"members\":\"\",\"answers\":\"\",\"heads\":\"\"",
        ];
        for case in cases {
            assert_eq!(Entry::read(case), None, "{}", String::from_utf8_lossy(case));
        }
    }
}
