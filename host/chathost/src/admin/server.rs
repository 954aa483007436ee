//! The host's side of the admin address.

use super::{Reply, Request, SwapRow, token};
use crate::keeper::{Handle, Swaps};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use chathost_core::{config::Cluster, host::Reload};
use std::{future::Future, io, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;

/// The admin address, taken, with its token written.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    token: String,
    file: PathBuf,
}

impl Admin {
    /// Takes the address of `master.json`.
    ///
    /// # Errors
    /// In use, or the token cannot be written; the message says which and what to do.
    pub async fn listen(cluster: &Cluster) -> Result<Self, String> {
        let (host, port) = (cluster.master.host.as_str(), cluster.master.port);
        let listener = TcpListener::bind((host, port)).await.map_err(|error| {
            format!(
                "the admin address {host}:{port} cannot be taken ({error}); does this project run already? \
                 Else change the port in master.json"
            )
        })?;
        let port = listener.local_addr().map_or(port, |address| address.port());
        let file = token::path(&cluster.base, port);
        let token = token::create(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self {
            listener,
            token,
            file,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not know.
    pub fn address(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }
}

/// Answers until `stop` completes, and removes the token.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(
    admin: Admin,
    host: Handle,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Admin {
        listener,
        token,
        file,
    } = admin;
    let state = Arc::new((token, host));
    let router = Router::new()
        .route("/", post(answer))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(state);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    // Who asks from here on is told that nobody is there.
    drop(std::fs::remove_file(file));
    served
}

async fn answer(
    State(state): State<Arc<(String, Handle)>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, axum::Json<Reply>) {
    let (token, host) = &*state;
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if !token::is_same(given, token) {
        let reply = Reply::Failed("the token is not the one of this host".to_owned());
        return (StatusCode::UNAUTHORIZED, axum::Json(reply));
    }
    let request = match serde_json::from_slice::<Request>(&body) {
        Ok(request) => request,
        Err(error) => {
            return (
                StatusCode::BAD_REQUEST,
                axum::Json(Reply::Failed(error.to_string())),
            );
        }
    };
    let reply = match request {
        Request::Reload {
            server_type,
            dry_run,
            allow_removed_routes,
        } => host
            .reload(
                server_type.as_deref(),
                Reload {
                    dry_run,
                    allow_removed_routes,
                },
            )
            .await
            .map(swaps),
        Request::Rollback { server_type } => host.rollback(&server_type).await.map(swaps),
        Request::List => host.list().await.map(Reply::Servers),
    };
    (
        StatusCode::OK,
        axum::Json(reply.unwrap_or_else(|ended| Reply::Failed(ended.to_string()))),
    )
}

fn swaps(swaps: Swaps) -> Reply {
    let row = |(server_type, swapped): (String, Result<_, chathost_core::host::Refusal>)| match swapped {
        Ok(chathost_core::host::Swapped {
            generation,
            unchanged,
            added,
            removed,
            ..
        }) => SwapRow {
            server_type,
            generation: Some(generation),
            unchanged,
            added,
            removed,
            problems: Vec::new(),
        },
        Err(refusal) => SwapRow {
            server_type,
            generation: None,
            unchanged: false,
            added: Vec::new(),
            removed: Vec::new(),
            problems: refusal.problems,
        },
    };
    Reply::Swaps(swaps.into_iter().map(row).collect())
}
