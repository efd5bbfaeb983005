#!/bin/sh
# Files, a worker thread, a process, and a server and its client.
set -eu
cat >program.js <<'END'
const { Worker } = require("worker_threads");
const { execFileSync } = require("child_process");
const fs = require("fs"), http = require("http");
const worker = new Worker("require('worker_threads').parentPort.postMessage(6 * 7)", { eval: true });
worker.on("message", async (answer) => {
  await fs.promises.writeFile("answer", `${answer}`);
  const server = http.createServer((_, reply) => reply.end(fs.readFileSync("answer")));
  server.listen(0, "127.0.0.1", () => {
    http.get({ port: server.address().port, host: "127.0.0.1" }, (reply) => {
      reply.on("data", (data) => console.log(`${data} ${execFileSync("echo", ["done"])}`.trim()));
      reply.on("end", () => server.close());
    });
  });
});
END
node program.js
