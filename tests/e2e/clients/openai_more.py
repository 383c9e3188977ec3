#!/usr/bin/env python3
"""The official OpenAI package beyond chat: openai_more.py URL

Expects a service without a language model over the articles, whose answers
are quoted passages.
"""

import base64
import struct
import sys

from openai import BadRequestError, NotFoundError, OpenAI

QUESTION = "What is an Internet exchange point?"

client = OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=120)


def refused(kind, call, part):
    try:
        call()
    except kind as error:
        assert part in str(error), error
    else:
        raise AssertionError(f"{part}: it was not refused")


# Responses: whole, stored, gone on from, erased.
whole = client.responses.create(model="genie", input=QUESTION, metadata={"case": "7"})
assert whole.status == "completed" and whole.error is None, whole
assert whole.output_text.strip(), whole
assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
annotations = whole.output[0].content[0].annotations
assert annotations, whole
for annotation in annotations:
    assert annotation.type == "file_citation", annotation
    assert annotation.file_id.startswith("file-"), annotation
    assert whole.output_text[annotation.index] == "[", annotation
    assert annotation.filename.endswith(".md"), annotation
again = client.responses.retrieve(whole.id)
assert again.output_text == whole.output_text and again.metadata == {"case": "7"}, again
items = client.responses.input_items.list(whole.id).data
assert items[0].content[0].text == QUESTION, items
after = client.responses.create(
    model="genie",
    input=[{"role": "user", "content": "And why does it matter?"}],
    previous_response_id=whole.id,
)
assert after.previous_response_id == whole.id, after
client.responses.delete(whole.id)
refused(NotFoundError, lambda: client.responses.retrieve(whole.id), "no stored response")
loose = client.responses.create(model="genie", input=QUESTION, store=False)
refused(NotFoundError, lambda: client.responses.retrieve(loose.id), "no stored response")
refused(
    BadRequestError,
    lambda: client.responses.create(model="genie", input="?", background=True),
    "background",
)

# Streamed, as single events and through the package's own bookkeeping.
kinds, pieces, last = [], [], None
for event in client.responses.create(model="genie", input=QUESTION, stream=True):
    kinds.append(event.type)
    if event.type == "response.output_text.delta":
        pieces.append(event.delta)
    last = event
assert kinds[:2] == ["response.created", "response.in_progress"], kinds
assert last.type == "response.completed", kinds
assert "".join(pieces).strip() == last.response.output_text.strip()
added = kinds.count("response.output_text.annotation.added")
assert added == len(last.response.output[0].content[0].annotations), kinds
with client.responses.stream(
    model="genie",
    input=QUESTION,
    tools=[{"type": "file_search", "vector_store_ids": ["vs_default"]}],
    include=["file_search_call.results"],
) as stream:
    for _ in stream:
        pass
    final = stream.get_final_response()
assert final.output_text == whole.output_text, final
search = final.output[0]
assert search.type == "file_search_call" and search.results, final

# Embeddings: the package asks for base64 by itself; both forms are the same.
model = "all-minilm-l6-v2"
floats = client.embeddings.create(model=model, input=["a cable"], encoding_format="float")
coded = client.embeddings.create(model=model, input=["a cable"], encoding_format="base64")
vector = floats.data[0].embedding
bytes_of = base64.b64decode(coded.data[0].embedding)
assert len(vector) == 384 and len(bytes_of) == 4 * 384
unpacked = struct.unpack(f"<{len(vector)}f", bytes_of)
assert all(abs(a - b) < 1e-6 for a, b in zip(vector, unpacked))
plain = client.embeddings.create(model=model, input="a cable", dimensions=384)
assert all(abs(a - b) < 1e-6 for a, b in zip(vector, plain.data[0].embedding))
refused(
    BadRequestError,
    lambda: client.embeddings.create(model=model, input="a", dimensions=64),
    "can't be cut",
)

# Files and the vector store.
text = b"The ferry of Rodrigues carries forty lorries on each crossing.\n"
file = client.files.create(file=("ferry.txt", text), purpose="assistants")
assert file.status == "processed" and file.bytes == len(text), file
assert file.id in [known.id for known in client.files.list()]
assert client.files.retrieve(file.id).filename == "ferry.txt"
assert "forty lorries" in client.files.content(file.id).text
refused(
    BadRequestError,
    lambda: client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"),
    "purpose",
)
stores = client.vector_stores.list().data
assert [store.id for store in stores] == ["vs_default"], stores
store = client.vector_stores.retrieve("vs_default")
assert store.file_counts.completed == store.file_counts.total > 1, store
kept = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
assert kept.status == "completed", kept
names = [known.id for known in client.vector_stores.files.list(store.id, limit=2)]
assert file.id in names and len(names) == store.file_counts.total, names
found = client.vector_stores.search(store.id, query="How many lorries?", max_num_results=3)
assert found.data[0].file_id == file.id, found
assert "forty lorries" in found.data[0].content[0].text, found
labelled = client.vector_stores.search(
    store.id, query="lorries", filters={"type": "eq", "key": "file_id", "value": file.id}
)
assert {hit.file_id for hit in labelled} == {file.id}, labelled
content = client.vector_stores.files.content(file.id, vector_store_id=store.id)
assert "forty lorries" in content.data[0].text, content
refused(BadRequestError, lambda: client.vector_stores.create(name="other"), "workspace")
assert client.files.delete(file.id).deleted
refused(NotFoundError, lambda: client.files.retrieve(file.id), "no file")
second = client.vector_stores.files.upload_and_poll(
    vector_store_id=store.id, file=("ferry.txt", text)
)
assert second.id == file.id and second.status == "completed", second
assert client.vector_stores.files.delete(second.id, vector_store_id=store.id).deleted
print("ok")
