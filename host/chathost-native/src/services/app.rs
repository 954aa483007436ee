//! `app`: the server itself, and what it keeps for every generation.

use super::{Args, Told, json, nothing};
use crate::instance::Instance;
use chathost_core::{config::ServerInfo, hash};
use serde_json::{Value, json as object};
use std::sync::Arc;

pub(super) fn ask(instance: &Instance, function: &str, args: &Args<'_>) -> Option<Told> {
    let app = &instance.app;
    let servers = |servers: &mut dyn Iterator<Item = &Arc<ServerInfo>>| {
        json(servers.map(|server| &server.fields).collect::<Vec<_>>())
    };
    Some(match function {
        "get" => args.text(0).and_then(|key| match app.get(key) {
            Some(value) => json(value),
            None => nothing(),
        }),
        "set" => args.text(0).and_then(|key| {
            app.set(key, args.value(1))?;
            nothing()
        }),
        "getCurServer" => json(&app.info.fields),
        "getBase" => json(app.cluster.base.to_string_lossy()),
        "getEnv" => json(&app.cluster.env),
        "getServers" => servers(&mut app.cluster.servers()),
        "getServersByType" => args
            .text(0)
            .and_then(|server_type| servers(&mut app.cluster.servers_of(server_type))),
        "getServerById" => args.text(0).and_then(|id| match app.cluster.server(id) {
            Some(server) => json(&server.fields),
            None => nothing(),
        }),
        "getServerTypes" => json(app.cluster.types().map(|name| &**name).collect::<Vec<_>>()),
        "dispatch" => dispatch(args),
        "route" => args.text(0).and_then(|server_type| {
            let (server_type, key) = (server_type.to_owned(), args.text(1)?.to_owned());
            app.install(move |app| app.router.set_setting(&server_type, &key));
            nothing()
        }),
        _ => return None,
    })
}

/// The entry of a list that a key hashes to, as Pomelo's dispatcher chooses.
fn dispatch(args: &Args<'_>) -> Told {
    let (key, list) = (args.uid(0)?, args.value(1));
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = hash::place(&key, list.len()).and_then(|place| list.get(place));
    place.map_or_else(nothing, |entry: &Value| json(object!(entry)))
}
