//! WebSocket and raw TCP on one port, and bytes that come in all sizes.

use super::{ECHO, setup, works};
use chathost_tests::{Client, Cluster, Event, Hello, Socket, Transport, within};
use pomelo_protocol::PackageKind;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn cluster() -> Cluster {
    setup(&json!({})).start().await
}

#[tokio::test]
async fn both_on_one_port() {
    let cluster = cluster().await;
    let mut web = cluster.client("connector-1").await;
    let mut tcp = cluster
        .client_with("connector-1", Transport::Tcp, &Hello::default())
        .await;
    works(&mut web).await;
    works(&mut tcp).await;
    let answer = web.request("connector.labHandler.sessions", json!({})).await;
    assert_eq!(answer["count"], 2);
    // A client that has gone is gone for the server, too.
    tcp.close().await;
    web.close().await;
    let mut last = cluster.client("connector-1").await;
    let answer = last.request("connector.labHandler.sessions", json!({})).await;
    assert_eq!(answer["count"], 1);
}

#[tokio::test]
async fn plain_http_is_told_what_this_is() {
    let cluster = cluster().await;
    let upgrade_without_key =
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "NOT HTTP AT ALL\r\n\r\n",
        upgrade_without_key,
    ] {
        let mut stream = TcpStream::connect(cluster.address("connector-1")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("the answer and the end", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
            "{request}: {answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_in_pieces() {
    let cluster = cluster().await;
    let mut stream = TcpStream::connect(cluster.address("connector-1")).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.set_nodelay(true).unwrap();
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 512];
    let count = within("the upgrade", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // RFC 6455's own example.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

#[tokio::test]
async fn fragments() {
    let cluster = cluster().await;
    let mut client = cluster.client("connector-1").await;
    let package = client.request_package(7, ECHO, json!({ "text": "in fragments" }));
    let (a, b) = package.split_at(3);
    let (b, c) = b.split_at(10);
    client.socket().send_fragments(&[a, b, b"", c]).await;
    let answer = client.response(7).await;
    assert_eq!(answer["echo"]["text"], "in fragments");
}

#[tokio::test]
async fn several_packages_at_once() {
    let cluster = cluster().await;
    for transport in [Transport::WebSocket, Transport::Tcp] {
        let mut client = cluster
            .client_with("connector-1", transport, &Hello::default())
            .await;
        let mut all = Vec::new();
        for id in 1..=20 {
            all.extend(client.request_package(id, ECHO, json!({ "id": id })));
        }
        client.send(&all).await;
        for id in 1..=20 {
            let Event::Response(of, body) = client.next().await else {
                panic!("only responses come")
            };
            assert_eq!((of, &body["echo"]["id"]), (id, &json!(id)), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn byte_by_byte() {
    let cluster = cluster().await;
    let mut client = cluster.open("connector-1", Transport::Tcp).await;
    let mut bytes = Vec::new();
    for (kind, body) in [
        (PackageKind::Handshake, &br#"{"sys":{}}"#[..]),
        (PackageKind::HandshakeAck, b""),
    ] {
        let mut package = bytes::BytesMut::new();
        pomelo_protocol::encode_package(&mut package, kind, body).unwrap();
        bytes.extend_from_slice(&package);
    }
    bytes.extend(client.request_package(1, ECHO, json!({ "text": "多 bytes" })));
    for byte in bytes {
        client.send(&[byte]).await;
    }
    assert_eq!(client.response(1).await["echo"]["text"], "多 bytes");
}

#[tokio::test]
async fn ping_and_pong() {
    let cluster = cluster().await;
    let mut client = cluster.client("connector-1").await;
    let pong = client.socket().ping(b"are you there").await;
    assert_eq!(pong, b"are you there"[..]);
    works(&mut client).await;
}

/// A client that has not shaken hands is not pushed to, and one that left is not waited for.
#[tokio::test]
async fn who_is_not_ready_hears_nothing() {
    let cluster = cluster().await;
    let mut silent = cluster.open("gate-1", Transport::WebSocket).await;
    let mut shaken = cluster.open("gate-1", Transport::WebSocket).await;
    shaken.shake(&Hello::default()).await;
    let mut watcher = super::watcher(&cluster).await;
    cluster.client("connector-1").await.close().await;
    super::reason(&mut watcher).await;
    // The next that both hear is the answer to what they ask now.
    silent.shake(&Hello::default()).await;
    for client in [&mut silent, &mut shaken] {
        client.send_package(PackageKind::HandshakeAck, b"").await;
        client.request("gate.gateHandler.hello", json!({})).await;
        assert_eq!(client.unasked(), []);
    }
}

/// The first bytes decide even when there is only one.
#[tokio::test]
async fn one_letter_decides() {
    let cluster = cluster().await;
    let mut stream = TcpStream::connect(cluster.address("connector-1")).await.unwrap();
    stream.write_all(b"\x01").await.unwrap();
    tokio::task::yield_now().await;
    let body = br#"{"sys":{}}"#;
    stream.write_all(&[0, 0, body.len() as u8]).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut client = Client::over(Socket::Tcp(stream), cluster.protos().clone());
    assert_eq!(
        client.next().await,
        Event::Handshake(json!({ "code": 200, "sys": {} }))
    );
}
