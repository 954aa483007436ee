//! A cluster that runs, on ports that were free, until the test ends.

use crate::{Client, Hello, Transport};
use chathost::Instance;
use pomelo_protocol::Protos;
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

/// A running cluster and its folder.
#[derive(Debug)]
pub struct Cluster {
    instance: Instance,
    folder: TempDir,
    protos: Arc<Protos>,
}

impl Cluster {
    pub(crate) fn new(instance: Instance, folder: TempDir, protos: Arc<Protos>) -> Self {
        Self {
            instance,
            folder,
            protos,
        }
    }

    /// Where clients of a frontend connect.
    pub fn address(&self, id: &str) -> SocketAddr {
        let server = self
            .instance
            .cluster()
            .server(id)
            .unwrap_or_else(|| panic!("no server {id}"));
        let port = server
            .client_port
            .unwrap_or_else(|| panic!("{id} is no frontend"));
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// A connection to a frontend that has said nothing yet.
    pub async fn open(&self, id: &str, transport: Transport) -> Client {
        Client::open(self.address(id), transport, self.protos.clone()).await
    }

    /// A WebSocket client of a frontend, handshake and ack done.
    pub async fn client(&self, id: &str) -> Client {
        self.client_with(id, Transport::WebSocket, &Hello::default())
            .await
    }

    /// A client of a frontend, handshake and ack done.
    pub async fn client_with(&self, id: &str, transport: Transport, hello: &Hello) -> Client {
        let mut client = self.open(id, transport).await;
        let answer = client.log_in(hello).await;
        assert_eq!(answer["code"], 200, "the handshake");
        client
    }

    /// A client of `connector-1` that is in a room of the demo.
    pub async fn enter(&self, name: &str, room: &str) -> Client {
        let mut client = self.client("connector-1").await;
        let answer = client
            .request(
                "connector.entryHandler.enter",
                json!({ "username": name, "rid": room }),
            )
            .await;
        let users = answer["users"]
            .as_array()
            .unwrap_or_else(|| panic!("{name} enters {room}: {answer}"));
        assert!(users.contains(&Value::from(name)), "{users:?}");
        client
    }

    /// The schemas of this cluster.
    pub fn protos(&self) -> &Arc<Protos> {
        &self.protos
    }

    /// The base directory.
    pub fn base(&self) -> &Path {
        self.folder.path()
    }

    /// The program's own view.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Ends it as SIGTERM does.
    pub async fn stop(self) {
        self.instance.stop().await;
    }
}
