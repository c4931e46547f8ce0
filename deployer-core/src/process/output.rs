//! What a program prints: its end is kept, without secrets.

use std::{io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _, BufReader, copy_buf},
    process::Child,
};

use crate::ports::Secret;

/// How much of the output is held in memory at most, on top of the longest secret.
const MOST_KEPT: usize = 64 * 1024;

/// How much of it is shown: its end.
const SHOWN: usize = 1024;

/// The beginning of a secret that is too short to tell anything, in bytes.
const TELLING: usize = 4;

/// How much a program may print before it is stopped.
pub(crate) const MOST_OUTPUT: usize = 8 * 1024 * 1024;

type Pipe = Box<dyn AsyncRead + Send + Unpin>;

/// What a program prints on its outputs, in the order in which it arrives.
pub(super) struct Output {
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
    secrets: Vec<Secret>,
    kept: Vec<u8>,
    total: usize,
}

impl Output {
    /// Takes over the pipes that the child still has.
    pub(super) fn of(child: &mut Child, mut secrets: Vec<Secret>) -> Self {
        secrets.retain(|secret| !secret.expose().is_empty());
        // One secret may be a part of another: the longer one goes first, or its rest would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self {
            stdout: child.stdout.take().map(|pipe| Box::new(pipe) as Pipe),
            stderr: child.stderr.take().map(|pipe| Box::new(pipe) as Pipe),
            secrets,
            kept: Vec::new(),
            total: 0,
        }
    }

    /// Reads for as long as the program prints; returns only if it prints too much.
    pub(super) async fn overflow(&mut self) {
        self.read_all().await;
        if self.total <= MOST_OUTPUT {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn read_all(&mut self) {
        let (mut first, mut second) = ([0; 4096], [0; 4096]);
        while self.total <= MOST_OUTPUT && (self.stdout.is_some() || self.stderr.is_some()) {
            tokio::select! {
                read = next(&mut self.stdout, &mut first) => self.keep(&first[..read]),
                read = next(&mut self.stderr, &mut second) => self.keep(&second[..read]),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len());
        self.kept.extend_from_slice(bytes);
        // What is forgotten may end inside a secret; the rest of it must not come to be shown.
        let longest = self.secrets.first().map_or(0, |secret| secret.expose().len());
        if self.kept.len() > MOST_KEPT + longest {
            // All but what could be shown, so that this is rare.
            self.kept.drain(..self.kept.len() - 4 * SHOWN - longest);
        }
    }

    /// The end of what was printed, with `***` for every secret.
    pub(super) fn shown(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        for secret in self.secrets.iter().map(Secret::expose) {
            // A program that is killed may end inside a secret.
            let begun =
                secret.char_indices().rev().map(|(end, _)| end).find(|end| text.ends_with(&secret[..*end]));
            if let Some(end) = begun.filter(|end| *end >= TELLING) {
                text.replace_range(text.len() - end.., "***");
            }
        }
        for secret in self.secrets.iter().map(Secret::expose) {
            text = text.replace(secret, "***");
        }
        let text = text.trim();
        let start = text.len().saturating_sub(SHOWN);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text[start..].to_owned()
    }
}

/// The next bytes of a pipe; closes it at its end.
async fn next(pipe: &mut Option<Pipe>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else { return std::future::pending().await };
    match open.read(buffer).await {
        Ok(read) if read > 0 => read,
        _ => {
            *pipe = None;
            0
        }
    }
}

/// Writes all that a program prints to a file. We write it, not the program, so that a full disk is never overlooked.
pub(super) fn pump(
    child: &mut Child,
    file: Option<std::fs::File>,
) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
    let pipes = file.and_then(|file| child.stdout.take().map(|pipe| (file, pipe)));
    Box::pin(async move {
        if let Some((file, pipe)) = pipes {
            let mut file = tokio::fs::File::from_std(file);
            copy_buf(&mut BufReader::with_capacity(64 * 1024, pipe), &mut file).await?;
            file.flush().await?;
        }
        Ok(())
    })
}
