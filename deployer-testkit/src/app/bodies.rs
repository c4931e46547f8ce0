//! Bodies of answers, the nasty ones too.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is there at once.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// One byte a second, for an hour.
pub(super) fn slow() -> Body {
    chunks(3600, Bytes::from_static(b"."), Duration::from_secs(1))
}

/// Bytes of a download.
pub(super) const DOWNLOAD_BYTES: u32 = DOWNLOAD_PIECES * DOWNLOAD_PIECE;
const DOWNLOAD_PIECES: u32 = 100;
const DOWNLOAD_PIECE: u32 = 1000;

/// A hundred kilobytes in a hundred pieces, spread over this time.
pub(super) fn download(time: Duration) -> Body {
    let piece = Bytes::from(vec![b'd'; DOWNLOAD_PIECE as usize]);
    chunks(DOWNLOAD_PIECES, piece, time / DOWNLOAD_PIECES)
}

/// Ten gigabytes, as fast as they are read.
pub(super) fn endless() -> Body {
    const CHUNK: usize = 1 << 16;
    const CHUNKS: u32 = 160_000;
    chunks(CHUNKS, Bytes::from(vec![b'.'; CHUNK]), Duration::ZERO)
}

fn chunks(count: u32, chunk: Bytes, pause: Duration) -> Body {
    let frames = stream::unfold((count, chunk), move |(left, chunk)| async move {
        let left = left.checked_sub(1)?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((Ok(Frame::data(chunk.clone())), (left, chunk)))
    });
    StreamBody::new(frames).boxed_unsync()
}
