//! The chat: rooms, and what is said in them. A room is a channel; its name is the session's "rid".
//!
//! `handlers/chat.lua`, in Rust: the same routes, the same answers.

use chathost_plugin::{App, Channel, Error, Plugin, Result, Session, export_plugin};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a client says. To everybody in the room with the target "*", else to the one of that name.
#[derive(Deserialize)]
struct Said {
    content: Option<Value>,
    target: Option<Value>,
    route: Option<Value>,
}

/// What the others get.
#[derive(Serialize)]
struct Chat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<Value>,
    from: &'a str,
    target: &'a Value,
}

#[derive(Serialize)]
struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Value>,
}

async fn send(app: App, said: Said, session: Session) -> Result<Sent> {
    let nowhere = || Error::internal("the session is in no room");
    let uid = session.uid().ok_or_else(nowhere)?;
    let room: String = session.get("rid").unwrap_or_default();
    let target = said.target.unwrap_or_default();
    let chat = Chat {
        msg: said.content,
        from: name_of(&uid),
        target: &target,
    };
    let channel = app.channel(room);
    if target == "*" {
        channel.push_message("onChat", &chat)?;
        return Ok(Sent { route: said.route });
    }
    let name = match &target {
        Value::String(name) => name.clone(),
        Value::Null | Value::Bool(false) => {
            return Err(Error::new(400, "send needs a target: a name, or * for all"));
        }
        other => other.to_string(),
    };
    let member = channel.member(&format!("{name}*{}", channel.name()));
    let member = member.ok_or_else(|| match channel.exists() {
        true => Error::new(404, format!("{name} is not in this room")),
        false => nowhere(),
    })?;
    app.push_message_by_uids("onChat", &chat, &[member])?;
    Ok(Sent { route: said.route })
}

/// Called by connectors: puts a user into a room and returns the names in it. Those who are there already are told
/// first, so nobody hears of their own coming.
async fn add(
    app: App,
    (uid, sid, room, create): (String, String, String, Option<bool>),
) -> Result<Vec<String>> {
    let channel = room_of(&app, room, create);
    if channel.exists() {
        channel.push_message("onAdd", &json!({ "route": "onAdd", "user": name_of(&uid) }))?;
        channel.add(&uid, &sid);
    }
    Ok(names(&channel))
}

/// The names in a room.
async fn get(app: App, (room, create): (String, Option<bool>)) -> Result<Vec<String>> {
    Ok(names(&room_of(&app, room, create)))
}

/// Called by connectors: takes a user out of a room and tells the others.
async fn kick(app: App, (uid, sid, room): (String, String, Option<String>)) -> Result<()> {
    let channel = app.channel(room.unwrap_or_default());
    // The channel is gone with its last member.
    if channel.leave(&uid, &sid) && channel.exists() {
        channel.push_message("onLeave", &json!({ "route": "onLeave", "user": name_of(&uid) }))?;
    }
    Ok(())
}

fn room_of(app: &App, room: String, create: Option<bool>) -> Channel {
    match create {
        Some(true) => app.create_channel(room),
        _ => app.channel(room),
    }
}

fn names(channel: &Channel) -> Vec<String> {
    channel
        .members()
        .iter()
        .map(|uid| name_of(uid).to_owned())
        .collect()
}

/// A user id is "name*room"; people see the name.
fn name_of(uid: &str) -> &str {
    uid.split('*').next().unwrap_or(uid)
}

fn plugin(plugin: &mut Plugin) -> Result<()> {
    plugin.handler("chatHandler.send", send);
    plugin.remote("chatRemote.add", add);
    plugin.remote("chatRemote.get", get);
    plugin.remote("chatRemote.kick", kick);
    Ok(())
}

export_plugin!(plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use chathost_plugin::test::{Client, Host, Pushed};

    /// Alice and Bob in the room "r".
    fn room() -> (Host, Client) {
        let host = Host::new("chat", plugin);
        for (uid, names) in [("alice*r", r#"[["alice"]]"#), ("bob*r", r#"[["alice","bob"]]"#)] {
            let entered = host.remote("chatRemote.add", &json!([uid, "c1", "r", true]).to_string());
            assert_eq!(entered.unwrap(), names);
        }
        let alice = host.session("alice*r", "c1");
        host.set(&alice, "rid", "r");
        (host, alice)
    }

    fn pushed(route: &str, body: Value, to: &[&str]) -> Pushed {
        let to = to.iter().map(ToString::to_string).collect();
        Pushed {
            route: route.into(),
            body,
            to,
        }
    }

    #[test]
    fn coming_and_going_is_told_to_the_others() {
        let (host, _) = room();
        let coming = json!({ "route": "onAdd", "user": "bob" });
        assert_eq!(host.pushed().last(), Some(&pushed("onAdd", coming, &["alice*r"])));
        assert_eq!(
            host.remote("chatRemote.kick", r#"["bob*r","c1","r"]"#).unwrap(),
            "[]"
        );
        let going = json!({ "route": "onLeave", "user": "bob" });
        assert_eq!(host.pushed(), [pushed("onLeave", going, &["alice*r"])]);
        assert_eq!(
            host.remote("chatRemote.get", r#"["r"]"#).unwrap(),
            r#"[["alice"]]"#
        );
        assert_eq!(
            host.remote("chatRemote.kick", r#"["nobody","c1","nowhere"]"#)
                .unwrap(),
            "[]"
        );
        assert_eq!(
            host.remote("chatRemote.get", r#"["nowhere",false]"#).unwrap(),
            "[[]]"
        );
    }

    #[test]
    fn to_everybody_and_to_one() {
        let (host, alice) = room();
        host.pushed();
        for (target, to) in [("*", &["alice*r", "bob*r"][..]), ("bob", &["bob*r"])] {
            let said = json!({ "content": "hi", "target": target, "route": "x" });
            let reply = host.request("chatHandler.send", &alice, &said.to_string());
            assert_eq!(reply.unwrap(), r#"{"route":"x"}"#);
            let chat = json!({ "msg": "hi", "from": "alice", "target": target });
            assert_eq!(host.pushed(), [pushed("onChat", chat, to)]);
        }
        assert_eq!(
            host.request("chatHandler.send", &alice, r#"{"target":"*"}"#)
                .unwrap(),
            "{}"
        );
    }

    #[test]
    fn what_is_refused() {
        let (host, alice) = room();
        let code = |client: &Client, said: &str| host.request("chatHandler.send", client, said).unwrap_err();
        assert_eq!(
            code(&alice, r#"{"target":"carol"}"#),
            Error::new(404, "carol is not in this room")
        );
        assert_eq!(
            code(&alice, "{}"),
            Error::new(400, "send needs a target: a name, or * for all")
        );
        let stranger = host.session("stranger", "c1");
        assert_eq!(code(&stranger, r#"{"target":"*"}"#).code(), 500);
    }
}
