#!/usr/bin/env node
// A stand-in for a security server between two members of an X-Road instance.
//
//   node relay.js http://127.0.0.1:8080          prints the address it listens on
//
// It does to a message what such a server does, and nothing for convenience:
// request and response are read whole before a byte of them goes on, headers
// that belong to one connection are dropped, `Host` becomes the provider's,
// and the sender is named by headers that the sender could not have set.
"use strict";

const http = require("node:http");
const { randomUUID } = require("node:crypto");

// RFC 9110, section 7.6.1, and what this relay frames anew.
const OF_ONE_CONNECTION = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const CLIENT = "TEST/GOV/1001/portal";
const LONGEST_MESSAGE = 16 * 1024 * 1024;

/** Listens on a free port of this machine; gives `{url, seen, stop}`. */
async function start(provider) {
  const target = new URL(provider);
  // What the provider was sent and what it said, for those who check.
  const seen = [];
  const server = http.createServer((request, response) => {
    relay(target, request, seen).then(
      (reply) => {
        response.writeHead(reply.status, reply.headers);
        response.end(reply.body);
      },
      (error) => {
        const body = JSON.stringify({ type: "Server.ServerProxy", message: error.message });
        response.writeHead(502, { "content-type": "application/json" });
        response.end(body);
      },
    );
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function relay(target, request, seen) {
  const body = await whole(request);
  const id = request.headers["x-road-id"] || `TEST-${randomUUID()}`;
  const headers = {
    ...kept(request.headers),
    host: target.host,
    "content-length": body.length,
    "x-road-client": CLIENT,
    "x-road-id": id,
    "x-road-userid": request.headers["x-road-userid"] || "EE12345678901",
    "x-road-issue": request.headers["x-road-issue"] || "case-2026-17",
  };
  const provided = await new Promise((resolve, reject) => {
    const sent = http.request(
      target,
      { method: request.method, path: request.url, headers, agent: false },
      resolve,
    );
    sent.once("error", reject);
    sent.end(body);
  });
  const answer = await whole(provided);
  seen.push({ id, sent: headers, status: provided.statusCode, received: provided.headers });
  return {
    status: provided.statusCode,
    headers: {
      ...kept(provided.headers),
      "content-length": answer.length,
      "x-road-id": id,
      "x-road-client": CLIENT,
      "x-road-request-id": randomUUID(),
    },
    body: answer,
  };
}

/** Headers that outlive a connection; `Connection` may name more that don't. */
function kept(headers) {
  const named = String(headers.connection || "")
    .split(",")
    .map((name) => name.trim().toLowerCase());
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !OF_ONE_CONNECTION.has(name) && !named.includes(name),
    ),
  );
}

async function whole(message) {
  const pieces = [];
  let length = 0;
  for await (const piece of message) {
    length += piece.length;
    if (length > LONGEST_MESSAGE) {
      throw new Error(`the message has more than ${LONGEST_MESSAGE} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

module.exports = { start, CLIENT };

if (require.main === module) {
  const provider = process.argv[2];
  if (!provider) {
    console.error("usage: relay.js URL-OF-THE-SERVICE");
    process.exit(2);
  }
  start(provider).then(
    ({ url }) => console.log(url),
    (error) => {
      console.error(error.message);
      process.exit(1);
    },
  );
}
