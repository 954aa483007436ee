//! Bytes that are not what they should be: a request whose id can be read is answered, the rest is dropped, and the
//! connection lives; only what is no package at all ends it.

use super::{reason, setup, watcher, works};
use chathost_tests::{Event, Hello, Transport};
use pomelo_protocol::PackageKind;
use serde_json::json;

#[tokio::test]
async fn malformed_messages() {
    let settings = json!({ "useDict": true, "useProtobuf": true });
    let protos = json!({ "connector.labHandler.echo": { "required uInt32 x": 1 } });
    let cluster = setup(&settings)
        .config("clientProtos.json", &protos)
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let cases: [(&str, &[u8], Option<u64>); 13] = [
        ("nothing", b"", None),
        ("a flag alone", b"\x00", None),
        ("an unknown type", b"\x0e\x01", None),
        ("an id without an end", b"\x00\x80\x80", None),
        (
            "an id above 2^53",
            b"\x00\xff\xff\xff\xff\xff\xff\xff\x7f\x00",
            None,
        ),
        ("no route", b"\x00\x05", Some(5)),
        ("half a code", b"\x01\x06\x00", Some(6)),
        ("a route that is cut", b"\x00\x07\x20connector", Some(7)),
        ("an unknown code", b"\x01\x08\xff\xff{}", Some(8)),
        ("a code of 0", b"\x01\x09\x00\x00{}", Some(9)),
        (
            "a route that is no text",
            b"\x00\x0a\x04\xff\xfe\xfd\xfc{}",
            Some(10),
        ),
        (
            "protobuf that is none",
            b"\x00\x0b\x19connector.labHandler.echo\xff\xff",
            Some(11),
        ),
        ("a notify without a route", b"\x02", None),
    ];
    for (what, message, id) in cases {
        client.send_package(PackageKind::Data, message).await;
        if let Some(id) = id {
            assert_eq!(client.response(id).await, json!({ "code": 500 }), "{what}");
        }
    }
    assert_eq!(
        client.request(super::ECHO, json!({ "x": 3 })).await["echo"]["x"],
        3
    );
    assert_eq!(client.unasked(), [], "nobody else is answered");
}

#[tokio::test]
async fn what_is_no_package() {
    let cluster = setup(&json!({})).start().await;
    let mut watcher = watcher(&cluster).await;
    for bytes in [
        &b"\x00\x00\x00\x00"[..],
        b"\x06\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x05\x00\x00\x00",
    ] {
        for transport in [Transport::WebSocket, Transport::Tcp] {
            let mut client = cluster
                .client_with("connector-1", transport, &Hello::default())
                .await;
            client.send(bytes).await;
            let code = (transport == Transport::WebSocket).then_some(1000);
            assert_eq!(client.closed().await, code);
            assert_eq!(reason(&mut watcher).await, "malformed package", "{bytes:?}");
        }
    }
    // A header that is cut, in a WebSocket message of its own.
    let mut client = cluster.client("connector-1").await;
    client.send(b"\x04\x00").await;
    client.closed().await;
    assert_eq!(reason(&mut watcher).await, "malformed package");
}

/// What breaks WebSocket's own rules ends that connection, whatever it was doing.
#[tokio::test]
async fn what_is_no_frame() {
    let cluster = setup(&json!({})).start().await;
    let mut other = cluster.client("connector-1").await;
    let long_ping = [&b"\x89\xfe\x00\x7e\x00\x00\x00\x00"[..], &[0; 126]].concat();
    for bytes in [
        // Not masked.
        &b"\x82\x04\x03\x00\x00\x00"[..],
        // Reserved bits, an unknown opcode, a control frame that is too long.
        b"\xf2\x80\x00\x00\x00\x00",
        b"\x83\x80\x00\x00\x00\x00",
        &long_ping,
        // A length that nobody has.
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
    ] {
        let mut client = cluster.client("connector-1").await;
        client.socket().send_raw(bytes).await;
        client.closed().await;
    }
    works(&mut other).await;
}

/// Packages out of state are ignored; the handshake counts once.
#[tokio::test]
async fn out_of_state() {
    let cluster = setup(&json!({ "heartbeat": 30 })).start().await;
    let mut client = cluster.open("connector-1", Transport::WebSocket).await;
    client.ask_as(1, super::ECHO, json!({})).await;
    client.send_package(PackageKind::HandshakeAck, b"").await;
    client.send_package(PackageKind::Heartbeat, b"").await;
    client.shake(&Hello::default()).await;
    client.ask_as(2, super::ECHO, json!({})).await;
    client.send_package(PackageKind::HandshakeAck, b"").await;
    client.send_package(PackageKind::Handshake, b"{}").await;
    client.ask_as(3, super::ECHO, json!({})).await;
    assert_eq!(client.next().await, Event::Heartbeat);
    assert!(matches!(client.next().await, Event::Response(3, _)));
}
