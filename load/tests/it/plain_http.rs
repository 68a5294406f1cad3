//! HTTP by an HTTP library: a client that reads every form an answer may have, unlike the carriers' own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use load::client::{Answer, Fault};
use tokio::net::TcpStream;

/// Largest answer read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Posts JSON on a connection of its own.
pub async fn post(limit: Duration, url: &str, body: Bytes) -> Result<Answer, Fault> {
    tokio::time::timeout(limit, unlimited(url, body)).await.unwrap_or(Err(Fault::Timeout))
}

async fn unlimited(url: &str, body: Bytes) -> Result<Answer, Fault> {
    let sent = Instant::now();
    let uri: Uri = url.parse().map_err(|_| Fault::Url)?;
    let place = uri.authority().ok_or(Fault::Url)?.as_str();
    let request = Request::post(uri.path()).header("host", place).header("content-type", "application/json");
    let request = request.body(Full::new(body)).map_err(|_| Fault::Url)?;
    let stream = TcpStream::connect(place).await.map_err(|_| Fault::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Fault::Connect)?;
    tokio::spawn(async move {
        let _ = connection.await; // its end shows in the sender
    });
    let response = sender.send_request(request).await.map_err(|_| Fault::Closed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body =
        body.map_err(|error| if error.is::<hyper::Error>() { Fault::Closed } else { Fault::TooLarge })?;
    Ok(Answer { status, body: body.to_bytes(), sent, at: Instant::now() })
}
