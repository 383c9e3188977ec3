// The service that is tested, as every scenario sees it.
"use strict";

const { After, AfterAll, Before, BeforeAll, setDefaultTimeout, setWorldConstructor } =
  require("@cucumber/cucumber");
const pactum = require("pactum");

const { start } = require("../../../../relay.js");

const URL_OF_SERVICE = process.env.GENIE_URL || "http://127.0.0.1:8080";
const KEY_OF_OPERATOR = process.env.GENIE_API_KEY || "";
// The first request of a workspace makes its index; a slow machine needs time.
const MILLISECONDS = 60_000;

setDefaultTimeout(2 * MILLISECONDS);
pactum.settings.setLogLevel("ERROR");
pactum.request.setDefaultTimeout(MILLISECONDS);

let relay;

BeforeAll(async () => {
  relay = await start(URL_OF_SERVICE);
});

AfterAll(async () => {
  await relay.stop();
});

class Scenario {
  constructor() {
    /** Base of paths; the relay's in scenarios that go through it. */
    this.url = URL_OF_SERVICE;
    /** Sent as bearer token; empty sends none. */
    this.key = KEY_OF_OPERATOR;
    /** Values that stand in later steps as `{name}`. */
    this.kept = new Map([["run", unique()]]);
    this.headers = {};
    this.madeWorkspaces = [];
    this.reply = undefined;
    this.request = undefined;
  }

  goThroughRelay() {
    this.url = relay.url;
  }

  /** What the service itself answered to the request that was relayed last. */
  relayed() {
    return relay.seen[relay.seen.length - 1];
  }

  /** The text with kept values in the places of their names. */
  filled(text) {
    return text.replace(/\{([A-Za-z]\w*)\}/g, (place, name) =>
      this.kept.has(name) ? this.kept.get(name) : place,
    );
  }

  /** Sends a request and keeps the reply. */
  async send(method, path, change = (spec) => spec) {
    this.request = { method, path };
    let spec = pactum.spec().withMethod(method).withPath(this.url + this.filled(path));
    if (this.key) {
      spec = spec.withHeaders("authorization", `Bearer ${this.key}`);
    }
    spec = spec.withHeaders(this.headers);
    this.reply = await change(spec).toss();
    return this.reply;
  }

  get body() {
    const { json, body } = this.reply;
    return json === undefined ? body : json;
  }

  get text() {
    return typeof this.reply.body === "string" ? this.reply.body : JSON.stringify(this.body);
  }
}

/** Scenarios don't meet each other, nor those of an earlier run. */
function unique() {
  return Date.now().toString(36) + Math.random().toString(36).slice(2, 6);
}

setWorldConstructor(Scenario);

Before({ tags: "@relay" }, function () {
  this.goThroughRelay();
});

After(async function () {
  this.url = URL_OF_SERVICE;
  this.key = KEY_OF_OPERATOR;
  this.headers = {};
  for (const id of this.madeWorkspaces) {
    await this.send("DELETE", `/api/v1/workspaces/${id}`);
  }
});
