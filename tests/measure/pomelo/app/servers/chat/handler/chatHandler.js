// What is said in a room. As handlers/chat.lua.

module.exports = (app) => {
  const channels = app.get("channelService");
  return {
    send(msg, session, next) {
      const rid = session.get("rid");
      const push = { msg: msg.content, from: session.uid.split("*")[0], target: msg.target };
      const channel = channels.getChannel(rid, false);
      if (msg.target === "*") {
        channel.pushMessage("onChat", push);
      } else {
        const member = channel.getMember(`${msg.target}*${rid}`);
        if (!member) return next(null, { code: 404 });
        channels.pushMessageByUids("onChat", push, [member]);
      }
      next(null, { route: msg.route });
    },
  };
};
