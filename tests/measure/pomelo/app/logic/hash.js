// Which of several servers a name belongs to: always the same one while the list is the same.

const { crc32 } = require("crc");

exports.pick = (name, servers) => servers[Math.abs(parseInt(crc32(String(name)), 16)) % servers.length];
