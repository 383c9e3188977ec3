// What the service was sent by the security server, and what it said.
"use strict";

const { Then, When } = require("@cucumber/cucumber");
const assert = require("node:assert");
const http = require("node:http");

const { CLIENT } = require("../../../../relay.js");

Then("the service was told of the sender", function () {
  const { sent } = this.relayed();
  assert.strictEqual(sent["x-road-client"], CLIENT);
  for (const name of ["x-road-id", "x-road-userid", "x-road-issue"]) {
    assert.ok(sent[name], `${name} was not sent`);
  }
});

Then("the service was sent no {string}", function (name) {
  assert.ok(!(name in this.relayed().sent));
});

Then("the service set no header of X-Road", function () {
  const set = Object.keys(this.relayed().received).filter((name) => name.startsWith("x-road-"));
  assert.deepStrictEqual(set, []);
});

// pactum sends bodies with their length; this one comes in pieces.
When("{word} {string} is asked in chunks with JSON", async function (method, path, text) {
  const body = Buffer.from(this.filled(text));
  const headers = { "content-type": "application/json", ...this.headers };
  if (this.key) {
    headers.authorization = `Bearer ${this.key}`;
  }
  const response = await new Promise((resolve, reject) => {
    const request = http.request(this.url + this.filled(path), { method, headers }, resolve);
    request.once("error", reject);
    request.write(body.subarray(0, 9));
    request.end(body.subarray(9));
  });
  const pieces = [];
  for await (const piece of response) {
    pieces.push(piece);
  }
  const json = JSON.parse(Buffer.concat(pieces).toString());
  this.request = { method, path };
  this.reply = { statusCode: response.statusCode, headers: response.headers, json };
});
