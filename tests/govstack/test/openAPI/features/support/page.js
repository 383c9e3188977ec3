// Whether what a browser gets follows the standards of the web.
"use strict";

const { Then } = require("@cucumber/cucumber");
const assert = require("node:assert");
const { validate } = require("csstree-validator");
const { HtmlValidate, StaticConfigLoader } = require("html-validate");

const html = new HtmlValidate(new StaticConfigLoader({ extends: ["html-validate:standard"] }));

Then("the text is valid HTML", async function () {
  assert.match(this.text, /^<!doctype html>/i);
  const { results } = await html.validateString(this.text);
  assert.deepStrictEqual(found(results.flatMap(({ messages }) => messages)), []);
});

Then("the text is valid CSS", function () {
  assert.ok(this.text.includes("{"), "there is no rule in it");
  assert.deepStrictEqual(found(validate(this.text)), []);
});

function found(messages) {
  return messages.map(({ line, message }) => `${line}: ${message}`);
}
