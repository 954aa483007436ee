//! The ports of a process: taken before anything else happens, so that one in use is found at once.

use super::StartError;
use crate::{
    config::{Cluster, ServerInfo},
    envelope::ServerId,
};
use socket2::{Domain, Socket, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
};

/// Connections that may wait to be accepted. Node's is 511; a thousand people may come at once.
const BACKLOG: i32 = 4096;

/// Takes the port of every hosted frontend.
pub(super) fn listen(cluster: &mut Cluster) -> Result<BTreeMap<ServerId, TcpListener>, StartError> {
    let mut listeners = BTreeMap::new();
    let mut problems = Vec::new();
    let frontends: Vec<_> = cluster
        .hosted()
        .filter(|server| server.frontend)
        .cloned()
        .collect();
    for info in frontends {
        let port = info.client_port.unwrap_or_default();
        let only_host = cluster
            .settings
            .for_type(&info.server_type)
            .connector
            .distinct_host;
        let bound = bind(only_host.then_some(info.host.as_str()), port)
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match bound {
            Ok((port, listener)) => {
                cluster.set_client_port(&info.id, port);
                listeners.insert(info.id.clone(), listener);
            }
            Err(error) => problems.push(not_bound(&info, port, &error)),
        }
    }
    if problems.is_empty() {
        Ok(listeners)
    } else {
        Err(StartError { problems })
    }
}

fn not_bound(info: &ServerInfo, port: u16, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "is in use; end what listens there, or change clientPort in servers.json",
        io::ErrorKind::PermissionDenied => {
            "needs a privilege; choose a clientPort above 1023 in servers.json"
        }
        _ => "could not be taken; see host and clientPort in servers.json",
    };
    format!("{}: port {port} {remedy} ({error})", info.id)
}

/// Listens on every interface of both address families, as Node does, or on one host only (`distinctHost`).
fn bind(only_host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    match only_host {
        Some(host) => {
            let mut addresses = (host, port).to_socket_addrs()?;
            let address = addresses
                .next()
                .ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
            bind_address(address)
        }
        None => bind_address((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A machine without IPv6.
            _ => bind_address((Ipv4Addr::UNSPECIFIED, port).into()),
        }),
    }
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
