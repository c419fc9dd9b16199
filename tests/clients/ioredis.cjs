// ioredis: `ioredis.cjs PORT`. tests/tests/clients.rs says what the lines mean.
"use strict";

const { Redis } = require("ioredis");

async function attempt(transaction) {
  try {
    await transaction();
    console.log("done");
  } catch (error) {
    console.log("refused", error.message);
  }
}

async function main() {
  const client = new Redis({ port: Number(process.argv[2]) });
  client.on("error", (error) => console.log("error", error.message));
  const inOnePiece = () => client.multi().incr("counter").incr("counter").exec();
  // Its other way: every command is sent as it is called, MULTI first.
  const piecemeal = async () => {
    const replies = await Promise.allSettled([
      client.multi({ pipeline: false }),
      client.incr("counter"),
      client.incr("counter"),
      client.exec(),
    ]);
    const failure = replies.find((reply) => reply.status === "rejected");
    if (failure) throw failure.reason;
  };
  await attempt(inOnePiece);
  await attempt(piecemeal);
  await attempt(inOnePiece);
  await attempt(inOnePiece);
  const plain = await client.pipeline().incr("plain").incr("plain").exec();
  console.log("plain", ...plain.map(([, value]) => value));
  await client.set("greeting", "hello");
  console.log("usable", await client.get("greeting"));
  await client.quit();
}

main();
