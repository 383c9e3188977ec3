// What is asked of the service.
"use strict";

const { Given, When } = require("@cucumber/cucumber");
const assert = require("node:assert");
const pactum = require("pactum");

const JOB_TRIES = 120;

Given("no key", function () {
  this.key = "";
  // As a proxy would say it: the caller is on another machine.
  this.headers["x-forwarded-for"] = "192.0.2.1";
});

Given("the key {string}", function (key) {
  this.key = this.filled(key);
});

Given("the header {string} is {string}", function (name, value) {
  this.headers[name.toLowerCase()] = this.filled(value);
});

Given("a workspace {string}", async function (name) {
  const id = `${name}-${this.kept.get("run")}`;
  await this.send("POST", "/api/v1/workspaces", (spec) => spec.withJson({ id }));
  assert.strictEqual(this.reply.statusCode, 201, this.text);
  this.madeWorkspaces.push(id);
  this.kept.set(name, id);
});

Given("a key {string} of the role {word} in {string}", async function (name, role, workspace) {
  const path = `/api/v1/workspaces/${this.filled(workspace)}/keys`;
  await this.send("POST", path, (spec) => spec.withJson({ name, role }));
  assert.strictEqual(this.reply.statusCode, 201, this.text);
  this.kept.set(name, this.body.secret);
  this.kept.set(`${name}Id`, this.body.id);
});

Given("a document {string} that says {string}", async function (uri, text) {
  const body = { uri: this.filled(uri), text: this.filled(text) };
  await this.send("POST", "/api/v1/documents", (spec) => spec.withJson(body));
  assert.ok([200, 201].includes(this.reply.statusCode), this.text);
  this.kept.set("document", this.body.id);
});

When("{word} {string} is asked", async function (method, path) {
  await this.send(method, path);
});

When("{word} {string} is asked with JSON", async function (method, path, text) {
  const body = JSON.parse(this.filled(text));
  await this.send(method, path, (spec) => spec.withJson(body));
  if (method === "POST" && path === "/api/v1/workspaces" && this.reply.statusCode === 201) {
    this.madeWorkspaces.push(body.id);
  }
});

When("{word} {string} is asked with {string} of the type {string}", async function (
  method,
  path,
  text,
  type,
) {
  await this.send(method, path, (spec) =>
    spec.withHeaders("content-type", type).withBody(this.filled(text)),
  );
});

When("{word} {string} is asked with bytes {string} as JSON", async function (method, path, hex) {
  const bytes = Buffer.from(hex, "hex");
  await this.send(method, path, (spec) =>
    spec.withHeaders("content-type", "application/json").withBody(bytes),
  );
});

When("a file {string} that says {string} is sent as a form", async function (name, text) {
  const bytes = Buffer.from(this.filled(text));
  await this.send("POST", "/api/v1/documents", (spec) =>
    spec.withMultiPartFormData("file", bytes, { filename: this.filled(name) }),
  );
});

When("the job is over", async function () {
  const path = `/api/v1/jobs/${this.body.id}`;
  for (let tried = 0; tried < JOB_TRIES; tried += 1) {
    await this.send("GET", path);
    assert.strictEqual(this.reply.statusCode, 200, this.text);
    if (!["queued", "running"].includes(this.body.state)) {
      return;
    }
    await pactum.sleep(500);
  }
  assert.fail(`the job did not end: ${this.text}`);
});
