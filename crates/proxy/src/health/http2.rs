//! A check's GET over HTTP/2: one stream on a connection of its own.

use http::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe::{MAX_BODY_BYTES, ProbeError, Question, Reply};

pub(super) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question<'_>,
) -> Result<Reply, ProbeError> {
    let (client, connection) = h2::client::handshake(stream).await?;
    tokio::select! {
        reply = exchange(client, question) => reply,
        // The connection only ends before the exchange does if it failed.
        ended = connection => Err(match ended {
            Err(error) => error.into(),
            Ok(()) => ProbeError::Protocol("the connection was closed before a response"),
        }),
    }
}

async fn exchange(
    client: h2::client::SendRequest<bytes::Bytes>,
    question: &Question<'_>,
) -> Result<Reply, ProbeError> {
    let Question { scheme, host, path, wants_body } = question;
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{scheme}://{host}{path}"))
        .header(http::header::USER_AGENT, super::http1::USER_AGENT)
        .body(())
        .map_err(|_| ProbeError::Protocol("the check's host or path does not make an address"))?;
    let (response, _) = client.ready().await?.send_request(request, true)?;
    let response = response.await?;
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while *wants_body && body.len() < MAX_BODY_BYTES {
        let Some(chunk) = incoming.data().await.transpose()? else { break };
        incoming.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_BODY_BYTES);
    Ok(Reply { status, body })
}
