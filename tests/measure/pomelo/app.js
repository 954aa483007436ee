// The demo of handlers/ on Pomelo, set up as config/bench sets up chathost. Every process of it runs this file:
// first the master, which then starts one each for connector, chat and gate.

const pomelo = require("pomelo");
const hash = require("./app/logic/hash");

const app = pomelo.createApp();
app.set("name", "chathost-measure");

// Everybody in a room talks through one chat server.
app.route("chat", (session, _msg, app, done) => {
  const servers = app.getServersByType("chat");
  if (!servers?.length) return done(new Error("there is no chat server"));
  done(null, hash.pick(session.get("rid"), servers).id);
});

app.configure("development", "connector", () => {
  app.set("connectorConfig", {
    connector: pomelo.connectors.hybridconnector,
    heartbeat: 3,
    useDict: true,
    useProtobuf: true,
  });
});

app.configure("development", "gate", () => {
  app.set("connectorConfig", { connector: pomelo.connectors.hybridconnector, useProtobuf: true });
});

app.start();

process.on("uncaughtException", (error) => console.error("uncaught:", error.stack));
