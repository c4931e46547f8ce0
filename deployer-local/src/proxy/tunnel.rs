//! A connection after it has changed to another protocol.

use std::{io, time::Duration};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use super::{claim::Claim, stream::ClientStream};

/// A client and a member that speak another protocol than HTTP to each other.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) member: TcpStream,
    /// What the member sent right after its head.
    pub(super) early: Bytes,
    pub(super) claim: Claim,
}

impl Tunnel {
    /// Passes bytes on until one side closes, or until the member has been out of the split for `deadline`.
    pub(super) async fn run(self, deadline: Duration) {
        let Self { client, member, early, claim } = self;
        tokio::select! {
            result = pass_on(client, member, early) => {
                if let Err(error) = result {
                    tracing::debug!(instance = %claim.member().instance, %error, "tunnel broke");
                }
            }
            () = claim.member().been_out_for(deadline) => {
                tracing::debug!(instance = %claim.member().instance, "tunnel cut");
            }
        }
    }
}

async fn pass_on(client: OnUpgrade, mut member: TcpStream, early: Bytes) -> io::Result<()> {
    let upgraded = client.await.map_err(io::Error::other)?;
    let parts = upgraded
        .downcast::<TokioIo<ClientStream>>()
        .map_err(|_| io::Error::other("the upgraded connection is not the accepted one"))?;
    let mut client = parts.io.into_inner().into_socket();
    client.write_all(&early).await?;
    member.write_all(&parts.read_buf).await?;
    copy_bidirectional(&mut client, &mut member).await?;
    Ok(())
}
