// node-redis: `node-redis.cjs PORT`. tests/tests/clients.rs says what the lines mean.
"use strict";

const { createClient } = require("@redis/client");

async function attempt(transaction) {
  try {
    await transaction();
    console.log("done");
  } catch (error) {
    console.log("refused", error.message);
  }
}

// There is one database. Only the strategy that docs/faq.md names ends what the client would try for ever.
async function otherDatabase(port) {
  const reconnectStrategy = (retries, cause) => (/DB index/.test(cause.message) ? cause : 500);
  const client = createClient({ database: 1, socket: { port, reconnectStrategy } });
  client.on("error", () => {});
  try {
    await client.connect();
    console.log("database 1");
    client.destroy();
  } catch (error) {
    console.log("no database", (error.originalError ?? error).message);
  }
}

async function main() {
  const port = Number(process.argv[2]);
  const client = createClient({ socket: { port } });
  client.on("error", (error) => console.log("error", error.message));
  await client.connect();
  const transaction = () => client.multi().incr("counter").incr("counter").exec();
  await attempt(transaction);
  await attempt(transaction);
  await Promise.all([attempt(transaction), attempt(transaction)]);
  const plain = await Promise.all([client.incr("plain"), client.incr("plain")]);
  console.log("plain", ...plain);
  await client.set("greeting", "hello");
  console.log("usable", await client.get("greeting"));
  await otherDatabase(port);
  await client.close();
}

main();
