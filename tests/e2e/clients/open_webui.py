#!/usr/bin/env python3
"""What Open WebUI asks of a service like OpenAI's: open_webui.py URL

Written by hand from what it sends; the program itself is not needed.
Expects a service without a language model over the articles.
"""

import json
import sys
import urllib.request

BASE = sys.argv[1]
QUESTION = "What is an Internet exchange point?"
HEADERS = {
    "Authorization": "Bearer none",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ana",
    "X-OpenWebUI-User-Id": "7",
    "X-OpenWebUI-User-Role": "user",
}
# The service is on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data=data, headers=HEADERS)
    with OPENER.open(request, timeout=120) as response:
        assert response.status == 200, response.status
        return response.read().decode()


models = json.loads(ask("/models"))["data"]
assert models[0]["id"] == "genie" and models[0]["object"] == "model", models

# A chat as its page asks for it, with fields of its own.
asked = {
    "model": "genie",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [
        {"role": "system", "content": "User Context: be kind."},
        {"role": "user", "content": QUESTION},
    ],
    "params": {},
    "tool_servers": [],
    "features": {"image_generation": False, "code_interpreter": False, "web_search": False},
    "variables": {"{{USER_NAME}}": "Ana", "{{CURRENT_DATE}}": "2026-01-01"},
    "session_id": "s",
    "chat_id": "c",
    "id": "i",
    "background_tasks": {"title_generation": True, "tags_generation": True},
}
lines = [line for line in ask("/chat/completions", asked).splitlines() if line.startswith("data: ")]
assert lines[-1] == "data: [DONE]", lines[-1]
chunks = [json.loads(line[len("data: ") :]) for line in lines[:-1]]
text = "".join(
    choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
)
assert text.strip(), chunks
assert chunks[-1]["usage"]["total_tokens"] >= 0, chunks[-1]

# The next message brings the answer along, as text and as an image-free list.
asked["messages"] += [
    {"role": "assistant", "content": text},
    {"role": "user", "content": [{"type": "text", "text": "And why does it matter?"}]},
]
assert '"finish_reason":"stop"' in ask("/chat/completions", asked)

# It wants a title; whatever comes, it has to be a completion.
title = {
    "model": "genie",
    "stream": False,
    "max_completion_tokens": 1000,
    "messages": [
        {
            "role": "user",
            "content": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing "
            'the chat history.\n### Output:\nJSON format: { "title": "your title here" }\n'
            f"### Chat History:\n<chat_history>\nUSER: {QUESTION}\nASSISTANT: {text}\n"
            "</chat_history>",
        }
    ],
    "metadata": {"task": "title_generation", "chat_id": "c"},
}
titled = json.loads(ask("/chat/completions", title))
assert isinstance(titled["choices"][0]["message"]["content"], str), titled

# Its own retrieval embeds in batches, with a prefix that it may be told.
embedded = json.loads(
    ask("/embeddings", {"model": "all-minilm-l6-v2", "input": ["a cable", "a ship"]})
)
assert [len(item["embedding"]) for item in embedded["data"]] == [384, 384], embedded
print("ok")
