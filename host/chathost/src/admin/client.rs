//! The command line's side of the admin address.

use super::{Reply, Request, token};
use chathost_core::config::Cluster;
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

/// The host was not reached, or did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// How long a swap may take: every server of a type builds its handlers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the host that runs this project.
///
/// # Errors
/// It does not run, or this user may not ask it.
pub async fn ask(cluster: &Cluster, request: &Request) -> Result<Reply, Unreachable> {
    let (host, port) = (cluster.master.host.as_str(), cluster.master.port);
    let file = token::path(&cluster.base, port);
    let connect = TcpStream::connect((host, port));
    let stream = connect.await.map_err(|error| {
        Unreachable(format!(
            "nobody answers on {host}:{port} ({error}); is the host running? chathost start"
        ))
    })?;
    let token = token::read(&file).map_err(|error| {
        Unreachable(format!(
            "the token cannot be read from {} ({error}); ask as the user who started the host, with its -d",
            file.display()
        ))
    })?;
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = serde_json::to_vec(request)?;
        let request = hyper::Request::post("/")
            .header(header::HOST, format!("{host}:{port}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender
            .send_request(request)
            .await?
            .into_body()
            .collect()
            .await?
            .to_bytes();
        Ok::<Reply, anyhow::Error>(serde_json::from_slice(&answer)?)
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(Unreachable(format!(
            "{host}:{port}: {error:#}; is that a chathost?"
        ))),
        Err(_) => Err(Unreachable(format!("{host}:{port} does not answer"))),
    }
}
