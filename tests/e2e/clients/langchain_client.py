#!/usr/bin/env python3
"""LangChain's classes for OpenAI: langchain_client.py URL

Expects a service without a language model over the articles.
"""

import sys

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

QUESTION = "What is an Internet exchange point?"

settings = {"base_url": sys.argv[1], "api_key": "unused", "max_retries": 0, "timeout": 120}

chat = ChatOpenAI(model="genie", temperature=0, **settings)
answer = chat.invoke(QUESTION)
assert answer.content.strip(), answer
assert answer.usage_metadata["total_tokens"] >= 0, answer
pieces = [piece.content for piece in chat.stream([("system", "Be brief."), ("user", QUESTION)])]
assert "".join(pieces).strip() == answer.content.strip(), pieces

# The same through responses, where citations are annotations.
responses = ChatOpenAI(model="genie", use_responses_api=True, **settings)
told = responses.invoke(QUESTION)
blocks = [block for block in told.content if block["type"] == "text"]
assert blocks and blocks[0]["annotations"], told
assert told.response_metadata["id"].startswith("resp_"), told
after = responses.invoke(
    "And why does it matter?", previous_response_id=told.response_metadata["id"]
)
assert after.content, after
whole = None
for piece in responses.stream(QUESTION):
    whole = piece if whole is None else whole + piece
streamed = "".join(block.get("text", "") for block in whole.content if isinstance(block, dict))
assert streamed.strip() == blocks[0]["text"].strip(), whole

# Texts as they are: the service does not take numbers of another tokenizer.
embeddings = OpenAIEmbeddings(
    model="all-minilm-l6-v2", check_embedding_ctx_length=False, **settings
)
assert len(embeddings.embed_query("a cable")) == 384
assert [len(vector) for vector in embeddings.embed_documents(["a", "b"])] == [384, 384]
print("ok")
