//! A plugin that does everything a plugin can do. For the host's tests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is for tests, and some of it is meant to go wrong"
)]

use chathost_plugin::{App, Error, Flow, Member, Message, Plugin, Push, Result, Session, export_plugin};
use serde_json::{Value, json};
use std::{cell::Cell, time::Duration};

fn plugin(plugin: &mut Plugin) -> Result<()> {
    if plugin.app().server_type() == "room" {
        rooms(plugin);
    } else {
        sessions(plugin);
        messages(plugin);
        calls(plugin);
        filters(plugin);
        state(plugin);
    }
    Ok(())
}

fn sessions(plugin: &mut Plugin) {
    plugin.handler(
        "labHandler.login",
        async |app: App, (uid, rid): (String, String), session: Session| {
            session.bind(&uid).await?;
            session.set("rid", &rid);
            session.push("rid").await?;
            session.on("closed", "onClosed")?;
            app.create_channel(&rid).add(&uid, &session.frontend_id());
            Ok(json!({ "uid": session.uid(), "rid": session.get::<String>("rid"), "sid": session.id() }))
        },
    );
    plugin.handler("labHandler.logout", async |_: App, _: Value, session: Session| {
        session.unbind().await?;
        let again = session.unbind().await.map_err(|error| error.code());
        Ok(json!({ "uid": session.uid(), "again": again.err() }))
    });
    plugin.handler(
        "labHandler.who",
        async |app: App, uid: String, session: Session| {
            let service = app.session_service();
            let here = service.by_uid(&uid);
            let there = app.backend_session_service(&app.server_id());
            let there = there.by_uid(&uid).await?;
            Ok(json!({
                "here": here.iter().map(Session::uid).collect::<Vec<_>>(),
                "there": there.iter().map(|session| session.get::<String>("rid")).collect::<Vec<_>>(),
                "count": service.count(),
                "address": service.client_address(session.id()).map(|address| address["ip"].clone()),
            }))
        },
    );
    plugin.handler("labHandler.kick", async |app: App, uid: String, _: Session| {
        app.session_service().kick(&uid, Some("out"));
        Ok(())
    });
    plugin.listener("onClosed", async |app: App, session: Session, reason: String| {
        let uid = session.uid().unwrap_or_default();
        if let Some(rid) = session.get::<String>("rid") {
            app.channel(&rid).leave(&uid, &session.frontend_id());
        }
        app.broadcast("connector", "onClosed", &json!({ "uid": uid, "reason": reason }))
    });
}

fn messages(plugin: &mut Plugin) {
    plugin.handler(
        "labHandler.say",
        async |app: App, text: String, session: Session| {
            let rid: String = session
                .get("rid")
                .ok_or_else(|| Error::new(400, "log in first"))?;
            let channel = app.channel(&rid);
            let uid = session.uid().unwrap_or_default();
            channel.push().exclude(&[&uid]).send("onSay", &text)?;
            let ghost = Member {
                uid: "ghost".into(),
                sid: app.server_id(),
            };
            let unreached = Push::to_users(&app, &[ghost])
                .acknowledged("onSay", &text)
                .await?;
            channel.set("last", &text);
            Ok(json!({
                "members": channel.members(),
                "amount": channel.user_amount(),
                "sid": channel.member(&uid).map(|member| member.sid),
                "last": channel.get::<String>("last"),
                "unreached": unreached,
            }))
        },
    );
}

fn calls(plugin: &mut Plugin) {
    plugin.route("room", |app, _, param| {
        let id = format!("room-{param}");
        Ok(if app.server_by_id(&id).is_some() {
            id
        } else {
            "room-1".to_owned()
        })
    });
    plugin.handler("labHandler.call", async |app: App, n: i64, session: Session| {
        let doubled: i64 = app
            .rpc("room")
            .of(&session)
            .call("roomRemote.double", &(n,))
            .await?;
        let to: i64 = app
            .rpc("room")
            .to("room-1")
            .call("roomRemote.double", &(doubled,))
            .await?;
        app.rpc("room").by(&1).notify("roomRemote.remember", &(to,))?;
        let remembered: i64 = app.rpc("room").by("1").call("roomRemote.remembered", &()).await?;
        let error = app
            .rpc("room")
            .by(&1)
            .call::<Value>("roomRemote.fail", &())
            .await
            .unwrap_err();
        let absent = app
            .rpc("room")
            .by(&1)
            .call::<Value>("roomRemote.absent", &())
            .await
            .unwrap_err();
        Ok(json!({
            "doubled": doubled, "to": to, "remembered": remembered,
            "error": [error.code(), error.message()], "absent": absent.code(),
        }))
    });
    plugin.handler("labHandler.raise", async |app: App, _: Value, _: Session| {
        app.rpc("room").by(&1).call::<()>("roomRemote.fail", &()).await
    });
    plugin.handler("labHandler.time", async |app: App, _: Value, session: Session| {
        let ticks = app.local::<Cell<u32>>();
        let timer = app.every(Duration::from_millis(1), {
            let ticks = ticks.clone();
            move |_| {
                ticks.set(ticks.get() + 1);
                async {}
            }
        });
        while ticks.get() < 3 {
            app.sleep(Duration::from_millis(2)).await;
        }
        timer.cancel();
        // A session that outlives its call.
        let later = app.clone();
        app.spawn(async move {
            later.sleep(Duration::from_millis(5)).await;
            let uid = session.uid().unwrap_or_default();
            drop(later.broadcast("connector", "onLater", &json!({ "uid": uid })));
        });
        let thread = std::thread::current().id();
        let elsewhere = app.blocking(move || std::thread::current().id() != thread).await;
        let panicked: Option<()> = app.blocking(|| panic!("on a thread of its own")).await;
        Ok(json!({ "elsewhere": elsewhere, "panicked": panicked.is_none(), "env": app.env() }))
    });
    plugin.handler(
        "labHandler.ask",
        async |app: App, name: String, session: Session| {
            let told = match name.starts_with("session.") {
                true => session.ask::<Value>(&name, &()).await,
                false => app.ask::<Value>(&name, &()).await,
            };
            Ok(told
                .err()
                .map(|error| error.message().to_owned())
                .unwrap_or_default())
        },
    );
    plugin.handler("labHandler.app", async |app: App, _: Value, _: Session| {
        let rooms = app.servers_by_type("room");
        let chosen: Option<Value> = app.dispatch("key", &rooms);
        let unknown = app
            .ask::<Value>("app.nonsense", &())
            .await
            .map_err(|error| error.code());
        let wrong = app
            .ask::<Value>("sessionService.get", &("x",))
            .await
            .map_err(|error| error.code());
        Ok(json!({
            "rooms": rooms.len(), "chosen": chosen.map(|room| room["id"].clone()),
            "unknown": unknown.err(), "wrong": wrong.err(),
        }))
    });
}

fn filters(plugin: &mut Plugin) {
    plugin.before(async |_: App, msg: Message, _: Session| match &msg.body {
        Value::String(text) if text == "blocked" => Ok(Flow::Answer(json!({ "blocked": msg.route }))),
        Value::String(text) if text == "broken" => Err(Error::new(418, "broken")),
        _ => Ok(Flow::Next(msg.body)),
    });
    plugin.after(async |_: App, msg: Message, _: Session, outcome: Result<Value>| {
        match (&*msg.route, outcome) {
            ("connector.labHandler.echo", Ok(reply)) => Ok(json!({ "filtered": reply })),
            (_, outcome) => outcome,
        }
    });
    plugin.error_handler(
        async |_: App, error: Error, _: Message, _: Session| match error.code() {
            418 => Ok(json!({ "handled": error.message() })),
            _ => Err(error),
        },
    );
    plugin.global_before(async |_: App, msg: Message, _: Session| match &msg.body {
        Value::String(text) if text == "global" => Ok(Flow::Answer("no".into())),
        Value::String(text) if text == "loud" => Ok(Flow::Next("LOUD".into())),
        _ => Ok(Flow::Next(msg.body)),
    });
    plugin.global_after(async |app: App, msg: Message, _: Session, reply: Value| {
        if msg.body == "global" {
            app.set("seen", &json!([msg.route, reply]));
        }
        Ok(())
    });
    plugin.check_client(async |_: App, kind: Value, _: Value| Ok(kind != "forbidden"));
    plugin.handshake(async |_: App, msg: Value, address: String| {
        Ok(json!({ "hello": msg["sys"]["type"], "from": !address.is_empty() }))
    });
    plugin.handler("labHandler.echo", async |_: App, text: Value, _: Session| {
        Ok(text)
    });
    plugin.handler("labHandler.seen", async |app: App, _: Value, _: Session| {
        Ok(app.get::<Value>("seen"))
    });
}

fn state(plugin: &mut Plugin) {
    plugin.handler("labHandler.count", async |app: App, _: Value, _: Session| {
        let count = app.local::<Cell<u64>>();
        count.set(count.get() + 1);
        Ok(json!({ "count": count.get() }))
    });
    plugin.export_state(|app| Ok(app.local::<Cell<u64>>().get()));
    plugin.import_state(|app, count: u64| {
        app.local::<Cell<u64>>().set(count);
        Ok(())
    });
    plugin.selftest(|app| match app.server_id().is_empty() {
        true => Err(Error::internal("a server without an id")),
        false => Ok(()),
    });
}

fn rooms(plugin: &mut Plugin) {
    plugin.remote("roomRemote.double", async |_: App, (n,): (i64,)| Ok(n * 2));
    plugin.remote("roomRemote.remember", async |app: App, (n,): (i64,)| {
        app.set("n", &n);
        Ok(())
    });
    plugin.remote("roomRemote.remembered", async |app: App, ()| {
        Ok(app.get::<i64>("n"))
    });
    plugin.remote("roomRemote.fail", async |_: App, ()| -> Result<()> {
        Err(Error::new(409, "taken"))
    });
}

export_plugin!(plugin);
