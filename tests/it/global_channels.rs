//! Global channels: kept by the frontends, asked from any server.

use chathost_tests::Setup;
use serde_json::json;

const CHAT: &str = r#"
local global = app.globalChannelService
local h = {}
function h.join(msg, session)
  global:add(msg.name, session.uid, session.frontendId)
  return { unreached = global:pushMessage("connector", "onJoin", { userId = session.uid }, msg.name) }
end
function h.leave(msg, session) global:leave(msg.name, session.uid, session.frontendId) end
function h.who(msg, session)
  return {
    all = global:getMembersByChannelName("connector", msg.name),
    here = global:getMembersBySid(msg.name, session.frontendId),
  }
end
function h.destroy(msg) global:destroyChannel(msg.name) end
function h.ghost(msg) global:add(msg.name, "ghost", "connector-1") end
return { chatHandler = h }
"#;

#[tokio::test]
async fn across_servers() {
    let connector =
        "return { h = 0, entryHandler = { login = function(msg, session) session:bind(msg.uid) end } }";
    // Two chat servers: the default route spreads the users over both.
    let cluster = Setup::demo()
        .servers("connector", 2)
        .servers("chat", 2)
        .script("app.lua", "")
        .script("connector.lua", connector)
        .script("chat.lua", CHAT)
        .start()
        .await;
    let mut users = Vec::new();
    for (number, uid) in ["ann", "ben", "cat", "dan"].into_iter().enumerate() {
        let mut user = cluster.client(&format!("connector-{}", number % 2 + 1)).await;
        user.request("connector.login", json!({ "uid": uid })).await;
        let joined = user.request("chat.join", json!({ "name": "lesson" })).await;
        assert_eq!(joined, json!({ "unreached": [] }));
        users.push(user);
    }
    // Who is added first hears of its own coming, as the handler wants it.
    for (number, user) in users.iter_mut().enumerate() {
        for uid in &["ann", "ben", "cat", "dan"][number..] {
            assert_eq!(user.push("onJoin").await, json!({ "userId": uid }));
        }
    }
    let who = users[0].request("chat.who", json!({ "name": "lesson" })).await;
    assert_eq!(
        who,
        json!({ "all": ["ann", "cat", "ben", "dan"], "here": ["ann", "cat"] })
    );
    users[2].request("chat.leave", json!({ "name": "lesson" })).await;
    users[0].request("chat.ghost", json!({ "name": "lesson" })).await;
    let again = users[3].request("chat.join", json!({ "name": "lesson" })).await;
    assert_eq!(
        again,
        json!({ "unreached": ["ghost"] }),
        "a set; and who is not there is named"
    );
    users[0]
        .request("chat.destroy", json!({ "name": "lesson" }))
        .await;
    let who = users[0].request("chat.who", json!({ "name": "lesson" })).await;
    assert_eq!(who, json!({ "all": [], "here": [] }));
    cluster.stop().await;
}
