//! {{name}}: handlers of a chathost server.

use chathost_plugin::{App, Error, Plugin, Result, Session, export_plugin};
use serde::{Deserialize, Serialize};

/// What a client sends.
#[derive(Deserialize)]
struct Hello {
    name: String,
}

/// What it gets.
#[derive(Serialize)]
struct Greeting {
    text: String,
    /// How many were greeted, by this server.
    count: u64,
}

/// Answers `<server type>.{{group}}Handler.hello`.
async fn hello(app: App, msg: Hello, session: Session) -> Result<Greeting> {
    if msg.name.is_empty() {
        return Err(Error::new(400, "hello needs a name"));
    }
    // The server keeps this: it is still there after the next `cargo build` was swapped in.
    let count = app.get::<u64>("{{name}}.count").unwrap_or_default() + 1;
    app.set("{{name}}.count", &count);
    let greeting = Greeting {
        text: format!("Hello, {}!", msg.name),
        count,
    };
    // The others in the room hear it, if the client is in one.
    if let Some(room) = session.get::<String>("rid") {
        app.channel(room).push_message("onHello", &greeting)?;
    }
    Ok(greeting)
}

fn plugin(plugin: &mut Plugin) -> Result<()> {
    plugin.handler("{{group}}Handler.hello", hello);
    Ok(())
}

export_plugin!(plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use chathost_plugin::test::Host;

    #[test]
    fn hello() {
        let host = Host::new("hello", plugin);
        let client = host.session("alice", "connector-1");
        host.set(&client, "rid", "room");
        host.add("room", "alice", "connector-1");
        let reply = host.request("{{group}}Handler.hello", &client, r#"{"name":"Alice"}"#);
        assert_eq!(reply.unwrap(), r#"{"text":"Hello, Alice!","count":1}"#);
        assert_eq!(host.pushed()[0].to, ["alice"]);
        let refused = host.request("{{group}}Handler.hello", &client, r#"{"name":""}"#);
        assert_eq!(refused.unwrap_err().code(), 400);
    }
}
