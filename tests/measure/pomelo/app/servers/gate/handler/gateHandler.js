// The gate: tells a client which connector to connect to. As handlers/gate.lua.

const hash = require("../../../logic/hash");

module.exports = (app) => ({
  queryEntry(msg, _session, next) {
    const connectors = app.getServersByType("connector");
    if (!msg.uid || !connectors?.length) return next(null, { code: 500 });
    const { clientHost, host, clientPort } = hash.pick(msg.uid, connectors);
    next(null, { code: 200, host: clientHost ?? host, port: clientPort });
  },
});
