"""Uses a running service through the official `openai` package.

Usage: python openai_client.py BASE_URL QUESTION

BASE_URL is that of the service, such as http://127.0.0.1:8080. The question
has to be one that the indexed documents answer. Ends with status 0 and one
line of JSON if everything is as it should be.
"""

import json
import sys

from openai import BadRequestError, NotFoundError, OpenAI


def check(condition, what):
    if not condition:
        raise SystemExit(f"failed: {what}")


def check_citations(citations, where):
    check(citations, f"{where} has no citations")
    wanted = {"number", "document", "title", "page", "section", "start", "end", "quote"}
    for citation in citations:
        check(wanted <= citation.keys(), f"{where}: a citation lacks {wanted - citation.keys()}")
        check(citation["quote"].strip(), f"{where}: a citation without quote")
        check(citation["start"] < citation["end"], f"{where}: an empty span")


def main(base_url, question):
    client = OpenAI(
        base_url=base_url.rstrip("/") + "/v1", api_key="unused", max_retries=0, timeout=600
    )
    models = [model.id for model in client.models.list()]
    check(models and models[0] == "genie", f"unexpected models {models}")
    messages = [{"role": "user", "content": question}]

    text, finish, usage, citations, pieces = "", None, None, None, 0
    with client.chat.completions.create(
        model=models[0],
        messages=messages,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        seed=7,
    ) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                if choice.delta.content:
                    text += choice.delta.content
                    pieces += 1
                finish = choice.finish_reason or finish
            usage = chunk.usage or usage
            citations = getattr(chunk, "citations", None) or citations
    check(text.strip(), "the stream has no text")
    check(finish in ("stop", "length"), f"the stream ended with {finish}")
    check(usage is not None, "the stream has no usage")
    check(
        usage.total_tokens == usage.prompt_tokens + usage.completion_tokens,
        "the token counts don't add up",
    )
    check_citations(citations, "the stream")
    for citation in citations:
        check(f"[{citation['number']}]" in text, "a citation without its mark in the text")

    whole = client.chat.completions.create(model=models[0], messages=messages, max_tokens=200)
    check(whole.choices[0].message.content.strip(), "the completion has no text")
    check(whole.usage is not None, "the completion has no usage")
    check_citations(whole.citations, "the completion")

    # The package asks for base64 by itself and decodes it.
    embedded = client.embeddings.create(model=models[0], input=["one", "another"])
    check(len(embedded.data) == 2, "there is not one vector a text")
    for item in embedded.data:
        length = sum(x * x for x in item.embedding)
        check(abs(length - 1) < 1e-3, f"a vector of squared length {length}")

    try:
        client.chat.completions.create(model="no-such-model", messages=messages)
        check(False, "an unknown model was accepted")
    except NotFoundError as error:
        check(error.code == "model_not_found", f"an unknown model gave {error.code}")
    try:
        client.chat.completions.create(model=models[0], messages=messages, n=2)
        check(False, "two choices were accepted")
    except BadRequestError as error:
        check(error.param == "n", f"two choices gave an error about {error.param}")

    print(
        json.dumps(
            {
                "text": text,
                "pieces": pieces,
                "finish_reason": finish,
                "usage": usage.model_dump(exclude_none=True),
                "citations": citations,
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
