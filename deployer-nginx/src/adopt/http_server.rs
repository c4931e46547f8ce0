//! Who listens where, and for which names.

use super::tree::{Place, Placed};

/// A `server` block for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpServer {
    /// Where it begins.
    pub place: Place,
    /// Its names, as they stand there.
    pub names: Vec<String>,
    /// Where it listens, as it stands there; `80` if nothing does.
    pub listens: Vec<String>,
    /// Whether it ends TLS.
    pub tls: bool,
    /// Its certificate, if it names one.
    pub certificate: Option<String>,
}

impl HttpServer {
    pub(super) fn of(server: &Placed) -> Self {
        let names = server.all("server_name").flat_map(|names| names.arguments.clone()).collect();
        let mut listens: Vec<_> = server.all("listen").map(|listen| listen.first().to_owned()).collect();
        if listens.is_empty() {
            listens.push("80".to_owned());
        }
        let encrypted = |listen: &Placed| listen.arguments.iter().any(|word| word == "ssl" || word == "quic");
        let tls = server.all("listen").any(encrypted) || server.all("ssl").any(|ssl| ssl.first() == "on");
        let certificate = server.all("ssl_certificate").next().map(|found| found.first().to_owned());
        Self { place: server.place.clone(), names, listens, tls, certificate }
    }

    /// Whether it is for this name, or for `*.` and the rest of it.
    pub fn is_for(&self, name: &str) -> bool {
        let above = name.split_once('.').map(|(_, above)| above);
        self.names.iter().any(|this| {
            this.eq_ignore_ascii_case(name)
                || this
                    .strip_prefix("*.")
                    .is_some_and(|this| above.is_some_and(|above| this.eq_ignore_ascii_case(above)))
        })
    }
}
