// What the service says.
"use strict";

const { Then } = require("@cucumber/cucumber");
const assert = require("node:assert");
const pactum = require("pactum");

const ABSENT = Symbol("absent");

Then("the status is {int}", function (status) {
  assert.strictEqual(this.reply.statusCode, status, `${this.reply.statusCode}: ${this.text}`);
});

Then("{string} of the body is {string}", function (path, wanted) {
  assert.strictEqual(String(at(this.body, path)), this.filled(wanted), this.text);
});

Then("{string} of the body matches {string}", function (path, pattern) {
  assert.match(String(at(this.body, path)), new RegExp(this.filled(pattern), "u"), this.text);
});

Then("{string} of the body is at least {float}", function (path, least) {
  const value = at(this.body, path);
  assert.ok(typeof value === "number" && value >= least, `${path} is ${String(value)}`);
});

Then("{string} of the body has {int} entries", function (path, count) {
  assert.strictEqual(at(this.body, path).length, count, this.text);
});

Then("the body has no {string}", function (path) {
  assert.strictEqual(at(this.body, path), ABSENT, this.text);
});

Then("{string} of the body is kept as {string}", function (path, name) {
  const value = at(this.body, path);
  assert.notStrictEqual(value, ABSENT, `${path} is missing: ${this.text}`);
  this.kept.set(name, String(value));
});

Then("one of {string} has {string} {string}", function (list, name, wanted) {
  const values = at(this.body, list).map((entry) => String(at(entry, name)));
  assert.ok(values.includes(this.filled(wanted)), `${values.join(", ")}`);
});

Then("none of {string} has {string} {string}", function (list, name, unwanted) {
  const values = at(this.body, list).map((entry) => String(at(entry, name)));
  assert.ok(!values.includes(this.filled(unwanted)), `${values.join(", ")}`);
});

Then("the text has {string}", function (part) {
  assert.ok(this.text.includes(this.filled(part)), this.text.slice(0, 2000));
});

Then("the text does not have {string}", function (part) {
  assert.ok(!this.text.includes(this.filled(part)), this.text.slice(0, 2000));
});

Then("the header {string} of the reply is {string}", function (name, wanted) {
  assert.strictEqual(this.reply.headers[name.toLowerCase()], this.filled(wanted));
});

Then("the header {string} of the reply matches {string}", function (name, pattern) {
  assert.match(String(this.reply.headers[name.toLowerCase()]), new RegExp(this.filled(pattern)));
});

Then("it is an error {string} of TMF630", function (code) {
  const { statusCode } = this.reply;
  pactum.expect(this.reply).to.have.jsonLike({ code, status: String(statusCode) });
  for (const name of ["reason", "message", "referenceError"]) {
    const value = this.body[name];
    assert.ok(typeof value === "string" && value.length > 0, `${name}: ${this.text}`);
  }
  // Nothing of the inside is told: no place in the source, no file, no query.
  assert.doesNotMatch(this.text, /\.rs\b|panicked|\bSELECT\b|\/(home|usr|var|data)\//);
});

Then("the error names the field {string}", function (field) {
  const fields = (this.body.errors || []).map((error) => error.field);
  assert.ok(fields.includes(field), this.text);
  assert.ok(this.body.errors.every(({ reason }) => reason.length > 0), this.text);
});

Then("each citation quotes the document word by word", async function () {
  const { citations, passages } = this.body;
  assert.ok(citations.length > 0, this.text);
  for (const { number, document, start, end, quote } of citations) {
    assert.ok(this.body.answer.includes(`[${number}]`), `[${number}] is not in the answer`);
    const around = passages.find(
      (passage) => passage.document === document && passage.start <= start && end <= passage.end,
    );
    assert.ok(around, `no passage holds citation ${number}`);
    // Places are counted in characters, not in units of UTF-16.
    const characters = Array.from(around.text);
    const cited = characters.slice(start - around.start, end - around.start).join("");
    assert.strictEqual(cited, quote);
  }
});

Then("the events are, in this order", function (table) {
  const names = [...this.text.matchAll(/^event: ?(.+)$/gm)].map((match) => match[1].trim());
  const wanted = table.raw().flat();
  let from = 0;
  for (const name of wanted) {
    const found = names.indexOf(name, from);
    assert.ok(found >= 0, `${name} is not behind ${names.slice(0, from)} in ${names}`);
    from = found + 1;
  }
  assert.strictEqual(names[names.length - 1], wanted[wanted.length - 1]);
});

/** The value at a path such as `results.0.id`; `.length` counts a list. */
function at(value, path) {
  return path.split(".").reduce((inner, name) => {
    if (inner === ABSENT || inner === null || typeof inner !== "object" || !(name in inner)) {
      return ABSENT;
    }
    return inner[name];
  }, value);
}
