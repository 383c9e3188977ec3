#!/usr/bin/env python3
"""The official package `mcp` against a service and a program.

Usage: mcp_client.py URL PROGRAM [ARGUMENT…]

URL is the service's /mcp; the program speaks the protocol on its standard
streams. Both have the articles, and no language model.
"""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

QUESTION = "What is an Internet exchange point?"


async def check(client):
    assert client.server_info.name == "genie", client.server_info
    assert "data" in client.instructions, client.instructions
    tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["search", "answer", "read_document"], tools

    # The package checks structured content against each tool's schema.
    found = await client.call_tool("search", {"query": "repair ship", "limit": 2})
    assert not found.is_error, found
    passages = found.structured_content["passages"]
    assert passages[0]["document"].endswith("cable.md"), passages
    assert "> " in found.content[0].text, found.content
    answer = await client.call_tool("answer", {"question": QUESTION})
    assert not answer.is_error and answer.structured_content["degraded"], answer
    assert answer.structured_content["citations"], answer
    identity = passages[0]["document_id"]
    read = await client.call_tool("read_document", {"id": identity, "limit": 50})
    assert read.structured_content["next_offset"] >= 50, read
    wrong = await client.call_tool("search", {"query": "ship", "limit": 0})
    assert wrong.is_error and "from 1 to 50" in wrong.content[0].text, wrong

    resources = (await client.list_resources()).resources
    assert len(resources) > 1, resources
    uri = next(str(known.uri) for known in resources if identity in str(known.uri))
    contents = (await client.read_resource(uri)).contents
    assert contents[0].text.strip(), contents


async def main(url, program):
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("GENIE_")
    }
    command = StdioServerParameters(command=program[0], args=program[1:], env=environment)
    for server in (url, command):
        for mode in ("auto", "legacy"):
            async with Client(server, mode=mode, read_timeout_seconds=120) as client:
                await check(client)
    print("ok")


asyncio.run(main(sys.argv[1], sys.argv[2:]))
