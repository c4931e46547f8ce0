//! Asking the running nginx on its control socket.

use std::{io, path::Path, time::Duration};

use deployer_core::error::{BackendError, ErrorKind};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// The longest answer that is read.
const LONGEST: u64 = 1024 * 1024;

/// What the control server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// One request on a connection of its own. HTTP/1.0, so that the answer ends with the connection.
pub(crate) async fn ask(
    operation: &str,
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> Result<ControlAnswer, BackendError> {
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: deployer\r\nContent-Length: {}\r\n\r\n", body.len());
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let shown = socket.display();
    let answer = timeout(limit, exchange).await.map_err(|_| {
        BackendError::new(ErrorKind::TimedOut, operation, format!("no answer on {shown} in {limit:?}"))
    })?;
    let answer = answer.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Unavailable,
        };
        let message = format!("nobody answers on {shown}; is nginx running, and does it include http.conf?");
        BackendError::new(kind, operation, message).with_source(error)
    })?;
    parse(&answer).ok_or_else(|| {
        BackendError::new(ErrorKind::Unexpected, operation, format!("no HTTP answer on {shown}"))
    })
}

fn parse(answer: &[u8]) -> Option<ControlAnswer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(ControlAnswer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n7 12").unwrap();
        assert_eq!(answer, ControlAnswer { status: 200, body: "7 12".to_owned() });
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parse(b"hello\r\n\r\n"), None);
    }
}
