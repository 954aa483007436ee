// What is added to Pomelo, which is unchanged otherwise. Node runs this before app.js, in each of its processes.

const { subscribe } = require("node:diagnostics_channel");

// The processes that the master has started do not end with it: they wait for a new one, for ever, on their ports. Each
// has its parent's pipe for its input, and that ends when the parent does, however that came.
process.stdin
  .on("end", () => process.exit(0))
  .on("error", () => process.exit(0))
  .resume();

// Pomelo's calls between servers go out in several small writes each, on sockets that wait for the other side's
// acknowledgement before they send the second: 40 ms for each hop, 90 requests a second from 10 clients. Its processes sleep
// most of that time, and what they do beside the requests would count as theirs. Without waiting they are busy, which is
// faster and cheaper per request. With POMELO_WAITS=1 it is as it comes.
if (!process.env.POMELO_WAITS) {
  const atOnce = ({ socket }) => socket.setNoDelay(true);
  subscribe("net.client.socket", atOnce);
  subscribe("net.server.socket", atOnce);
}
