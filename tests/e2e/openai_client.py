#!/usr/bin/env python3
"""The official OpenAI package against a running service: openai_client.py URL"""

import sys

from openai import NotFoundError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=240)
models = [model.id for model in client.models.list()]
assert models, "no model is listed"
# One that even the smallest model holds to be answered by the passages.
messages = [{"role": "user", "content": "What is a radio spectrum used for?"}]

whole = client.chat.completions.create(model=models[0], messages=messages, max_tokens=60)
text = whole.choices[0].message.content
assert text.strip(), whole
assert whole.choices[0].message.role == "assistant", whole
assert whole.choices[0].finish_reason in ("stop", "length"), whole
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
extra = whole.model_extra.get("citations", whole.choices[0].message.model_extra.get("citations"))
assert isinstance(extra, list), f"no citations beside the text: {whole}"

pieces, usage, finished = [], None, None
stream = client.chat.completions.create(
    model=models[0],
    messages=messages,
    max_tokens=60,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.usage:
        usage = chunk.usage
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        finished = choice.finish_reason or finished
assert "".join(pieces).split() == text.split(), ("".join(pieces), text)
assert finished in ("stop", "length"), finished
assert usage and usage.total_tokens > 0, usage

embedded = client.embeddings.create(model="all-minilm-l6-v2", input=["a cable", "a ship"])
assert [len(item.embedding) for item in embedded.data] == [384, 384]

try:
    client.chat.completions.create(model="no-such-model", messages=messages)
except NotFoundError as error:
    assert "no-such-model" in str(error), error
else:
    raise AssertionError("an unknown model was accepted")
print("ok")
