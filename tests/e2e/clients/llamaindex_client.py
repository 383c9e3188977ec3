#!/usr/bin/env python3
"""LlamaIndex's classes for services like OpenAI's: llamaindex_client.py URL

Expects a service without a language model over the articles.
"""

import sys

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

QUESTION = "What is an Internet exchange point?"

settings = {"api_base": sys.argv[1], "api_key": "unused", "max_retries": 0, "timeout": 120}

llm = OpenAILike(model="genie", is_chat_model=True, context_window=4096, **settings)
messages = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content=QUESTION),
]
answer = llm.chat(messages)
assert answer.message.content.strip(), answer
assert answer.raw.citations, answer.raw
last = None
for last in llm.stream_chat(messages):
    pass
assert last.message.content.strip() == answer.message.content.strip(), last
assert llm.complete(QUESTION).text.strip()

embedding = OpenAILikeEmbedding(model_name="all-minilm-l6-v2", **settings)
assert len(embedding.get_query_embedding("a cable")) == 384
assert [len(v) for v in embedding.get_text_embedding_batch(["a", "b"])] == [384, 384]
print("ok")
