#!/usr/bin/env node
// The official OpenAI package for Node: client.cjs URL
//
// Expects a service without a language model over the articles.

"use strict";

const assert = require("node:assert");
const { OpenAI, toFile, NotFoundError, BadRequestError } = require("openai");

const QUESTION = "What is an Internet exchange point?";

async function main(baseURL) {
    const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 120000 });

    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    assert.strictEqual(models[0], "genie");

    const messages = [{ role: "user", content: QUESTION }];
    const whole = await client.chat.completions.create({ model: "genie", messages });
    const text = whole.choices[0].message.content;
    assert.ok(text.trim() && whole.citations.length > 0);
    let streamed = "";
    const chunks = await client.chat.completions.create({ model: "genie", messages, stream: true });
    for await (const chunk of chunks) streamed += chunk.choices[0]?.delta?.content ?? "";
    assert.strictEqual(streamed.trim(), text.trim());

    const response = await client.responses.create({ model: "genie", input: QUESTION });
    assert.ok(response.output_text.trim());
    const [annotation] = response.output[0].content[0].annotations;
    assert.strictEqual(annotation.type, "file_citation");
    const again = await client.responses.retrieve(response.id);
    assert.deepStrictEqual(again.output, response.output);
    const events = [];
    const stream = client.responses.stream({ model: "genie", input: QUESTION });
    for await (const event of stream) events.push(event.type);
    assert.strictEqual(events[0], "response.created");
    assert.strictEqual(events.at(-1), "response.completed");
    const final = await stream.finalResponse();
    assert.strictEqual(final.output_text, response.output_text);
    await client.responses.delete(response.id);
    await assert.rejects(client.responses.retrieve(response.id), NotFoundError);

    const embedded = await client.embeddings.create({
        model: "all-minilm-l6-v2",
        input: ["a cable", "a ship"],
    });
    assert.deepStrictEqual(
        embedded.data.map((item) => item.embedding.length),
        [384, 384],
    );

    const bytes = Buffer.from("The mast of Flacq is eighty metres high.\n");
    const file = await client.files.create({
        file: await toFile(bytes, "mast.txt"),
        purpose: "user_data",
    });
    assert.strictEqual(file.status, "processed");
    const found = await client.vectorStores.search("vs_default", { query: "How high is the mast?" });
    assert.strictEqual(found.data[0].file_id, file.id);
    assert.match(await (await client.files.content(file.id)).text(), /eighty metres/);
    const deleted = await client.files.delete(file.id);
    assert.ok(deleted.deleted);
    await assert.rejects(client.vectorStores.create({ name: "other" }), BadRequestError);
    console.log("ok");
}

main(process.argv[2]).catch((error) => {
    console.error(error);
    process.exit(1);
});
