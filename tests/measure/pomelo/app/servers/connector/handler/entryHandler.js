// The connector: lets people in, and sees to it that whoever goes leaves the room. As handlers/connector.lua.

const isName = (value) => typeof value === "string" || typeof value === "number";

module.exports = (app) => {
  const leave = (session, done) => {
    if (!session?.uid) return done();
    app.rpc.chat.chatRemote.kick(session, session.uid, app.get("serverId"), session.get("rid"), done);
  };
  const onClosed = (session) => leave(session, () => {});

  // A connection that is in a room already moves to the new one.
  const move = (session, done) => {
    if (!session.uid) return done();
    leave(session, () => session.unbind(session.uid, done));
  };

  return {
    enter(msg, session, next) {
      if (!isName(msg.username) || !isName(msg.rid)) return next(null, { code: 500, error: true });
      const rid = String(msg.rid);
      const uid = `${msg.username}*${rid}`;
      if (app.get("sessionService").getByUid(uid)) return next(null, { code: 500, error: true });

      move(session, () => {
        session.set("rid", rid);
        session.push("rid", (error) => error && console.error("rid:", error));
        session.bind(uid, (error) => {
          if (error) return next(null, { code: 500, error: true });
          if (!session.get("listening")) {
            session.on("closed", onClosed);
            session.set("listening", true);
            session.push("listening", (error) => error && console.error("listening:", error));
          }
          app.rpc.chat.chatRemote.add(session, uid, app.get("serverId"), rid, true, (error, users) => {
            if (error) return session.unbind(uid, () => next(error));
            next(null, { users });
          });
        });
      });
    },
  };
};
