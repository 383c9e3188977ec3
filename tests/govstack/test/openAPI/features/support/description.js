// Whether the service does what its OpenAPI document says.
"use strict";

const SwaggerParser = require("@apidevtools/swagger-parser");
const { Then } = require("@cucumber/cucumber");
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const pactum = require("pactum");

const FEATURES = path.join(__dirname, "..");

let description;

async function described(scenario) {
  if (!description) {
    const url = scenario.url + "/v3/api-docs";
    const reply = await pactum.spec().get(url).toss();
    assert.strictEqual(reply.statusCode, 200);
    description = reply.json;
  }
  return description;
}

Then("the reply is as the description says", async function () {
  const { components, paths } = await described(this);
  const { method, path: asked } = this.request;
  const route = Object.keys(paths).find((route) => fits(route, this.filled(asked)));
  assert.ok(route, `${asked} is not described`);
  const operation = paths[route][method.toLowerCase()];
  assert.ok(operation, `${method} ${route} is not described`);
  const response = operation.responses[this.reply.statusCode] || operation.responses.default;
  assert.ok(response, `${method} ${route} is not said to answer ${this.reply.statusCode}`);
  const content = resolved(response, components).content || {};
  const schema = content["application/json"] && content["application/json"].schema;
  assert.ok(schema, `${method} ${route} is not said to answer JSON`);
  const whole = { ...plain(schema), definitions: plain(components.schemas) };
  pactum.expect(this.reply).to.have.jsonSchema(whole);
});

Then("it is valid OpenAPI", async function () {
  // The validator resolves references in place; the reply stays as it is.
  await SwaggerParser.validate(structuredClone(this.body));
});

Then("everything that is tested is described", function () {
  const { paths } = this.body;
  for (const file of fs.readdirSync(FEATURES).filter((name) => name.endsWith(".feature"))) {
    const text = fs.readFileSync(path.join(FEATURES, file), "utf8");
    for (const [, method, route] of text.matchAll(/@method=(\w+) @endpoint=(\S+)/g)) {
      const operations = paths[route];
      assert.ok(operations, `${file}: ${route} is not described`);
      assert.ok(operations[method.toLowerCase()], `${file}: ${method} ${route} is not described`);
    }
  }
});

function fits(route, asked) {
  const pattern = route.replace(/[.]/g, "\\.").replace(/\{[^}]+\}/g, "[^/]+");
  return new RegExp(`^${pattern}$`).test(asked.split("?")[0]);
}

function resolved(response, components) {
  const name = response.$ref && response.$ref.split("/").pop();
  return name ? components.responses[name] : response;
}

/** OpenAPI 3.0 has words of its own, which JSON Schema says otherwise. */
function plain(schema) {
  if (Array.isArray(schema)) {
    return schema.map(plain);
  }
  if (schema === null || typeof schema !== "object") {
    return schema;
  }
  const { nullable, example: _example, format: _format, default: _default, ...kept } = schema;
  if (typeof kept.$ref === "string") {
    kept.$ref = kept.$ref.replace("#/components/schemas/", "#/definitions/");
  }
  const inner = Object.fromEntries(
    Object.entries(kept).map(([name, value]) => [
      name,
      name === "enum" ? value : plain(value),
    ]),
  );
  return nullable === true ? { anyOf: [inner, { type: "null" }] } : inner;
}
