// Rooms, for the connectors. As handlers/chat.lua.

const nameOf = (uid) => uid.split("*")[0];

module.exports = (app) => {
  const channels = app.get("channelService");
  const names = (channel) => (channel ? channel.getMembers().map(nameOf) : []);

  return {
    // Those who are there already are told first, so nobody hears of their own coming.
    add(uid, sid, room, flag, done) {
      const channel = channels.getChannel(room, flag);
      if (channel) {
        channel.pushMessage({ route: "onAdd", user: nameOf(uid) });
        channel.add(uid, sid);
      }
      done(null, names(channel));
    },

    kick(uid, sid, room, done) {
      const channel = channels.getChannel(room, false);
      if (channel?.leave(uid, sid)) channel.pushMessage({ route: "onLeave", user: nameOf(uid) });
      done();
    },
  };
};
