//! Accepting: one listener per frontend, one task per client.

use super::{Connection, task};
use crate::app::App;
use std::{net::SocketAddr, rc::Rc, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// How long to wait when the process has no file descriptor left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until `stop` says so.
pub async fn serve(app: Rc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted; is the limit of open files reached?");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        // The listener takes both families; 127.0.0.1 should not look like ::ffff:127.0.0.1.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if app
            .info
            .max_connections
            .is_some_and(|most| app.connections.count() >= most)
        {
            let most = app.info.max_connections.unwrap_or_default();
            tracing::warn!(%peer, "the server {} has reached the max connections {most}", app.id());
            continue;
        }
        if let Err(error) = stream.set_nodelay(app.settings.connector.set_no_delay) {
            tracing::debug!(%peer, %error, "a connection ended before it began");
            continue;
        }
        let connection = Connection::new(&app, stream, peer);
        let session = app.sessions.create(connection.clone());
        connection.sid.set(session.id);
        app.connections.begin();
        app.tasks.spawn(task::run(app.clone(), session));
    }
}
