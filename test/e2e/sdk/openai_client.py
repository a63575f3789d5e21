"""OpenAI's package for Python against a server that is not OpenAI's.

openai-python.ts runs this wherever `python3 -c "import openai"` succeeds, or with the interpreter that
JANUS_PYTHON names:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install openai
    JANUS_PYTHON=/tmp/venv/bin/python npx vitest run test/e2e/sdk

Reads one JSON object from its input (baseURL, apiKey, model, question, answer), and prints one per check that holds.
"""

import json
import sys
import time
from typing import Literal

import openai
from pydantic import BaseModel, Field

BATCH_LIMIT_S = 20
MOST_STRUCTURED_TOKENS = 96
CHAT_ENDPOINT = "/v1/chat/completions"

target = json.load(sys.stdin)
model = target["model"]
client = openai.OpenAI(base_url=target["baseURL"], api_key=target["apiKey"], max_retries=0)
ask = {
    "model": model,
    "temperature": 0,
    "messages": [{"role": "user", "content": target["question"]}],
}


class Entry(BaseModel):
    word: str = Field(max_length=8)
    kind: Literal["noun", "verb"]
    senses: int = Field(ge=1, le=9)


class Lookup(BaseModel):
    word: str = Field(max_length=8)
    kind: Literal["noun", "verb"]


def tell(**fields):
    print(json.dumps(fields), flush=True)


def fails(error_class, call, **fields):
    """Expects that `call` raises an error of a class, with some fields."""
    try:
        call()
    except error_class as error:
        for name, value in fields.items():
            assert getattr(error, name) == value, (name, error)
        return
    raise AssertionError(f"No {error_class.__name__}")


def models():
    assert [one.id for one in client.models.list()] == [model]
    assert client.models.retrieve(model).id == model


def chat():
    whole = client.chat.completions.create(**ask)
    assert whole.choices[0].message.content == target["answer"], whole
    text = ""
    total = None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        total = chunk.usage.total_tokens if chunk.usage else total
    assert (text, total) == (target["answer"], whole.usage.total_tokens)


def responses():
    fields = {"model": model, "input": target["question"], "temperature": 0}
    assert client.responses.create(**fields).output_text == target["answer"]
    with client.responses.stream(**fields) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert ["".join(deltas), final.output_text] == [target["answer"]] * 2


def logprobs():
    whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2)
    tokens = whole.choices[0].logprobs.content
    assert target["answer"] in "".join(token.token for token in tokens)
    assert all(len(token.top_logprobs) == 2 for token in tokens)


def tools():
    bound = {
        **ask,
        "max_tokens": MOST_STRUCTURED_TOKENS,
        "tools": [openai.pydantic_function_tool(Lookup, name="lookup")],
        "tool_choice": "required",
    }
    message = client.chat.completions.parse(**bound).choices[0].message
    [call] = message.tool_calls
    assert isinstance(call.function.parsed_arguments, Lookup), call
    with client.chat.completions.stream(**bound) as stream:
        [again] = stream.get_final_completion().choices[0].message.tool_calls
    assert again.function.parsed_arguments == call.function.parsed_arguments
    found = {"role": "tool", "tool_call_id": call.id, "content": "found"}
    function = {"name": call.function.name, "arguments": call.function.arguments}
    spoken = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    answer = client.chat.completions.create(
        **{**bound, "messages": [*ask["messages"], spoken, found], "tool_choice": "none", "max_tokens": 8}
    )
    assert answer.choices[0].message.content, answer


def schema():
    parsed = client.chat.completions.parse(**ask, max_tokens=MOST_STRUCTURED_TOKENS, response_format=Entry)
    entry = parsed.choices[0].message.parsed
    assert isinstance(entry, Entry), parsed
    response = client.responses.parse(
        model=model,
        input=target["question"],
        temperature=0,
        max_output_tokens=MOST_STRUCTURED_TOKENS,
        text_format=Entry,
    )
    assert response.output_parsed == entry


def errors():
    fails(
        openai.BadRequestError,
        lambda: client.embeddings.create(model=model, input="x"),
        code="unsupported_endpoint",
    )
    fails(openai.NotFoundError, lambda: client.chat.completions.create(**{**ask, "model": "other"}))
    fails(openai.AuthenticationError, lambda: client.with_options(api_key="sk-wrong").models.list())


def batches():
    lines = [
        {"custom_id": f"line-{number}", "method": "POST", "url": CHAT_ENDPOINT, "body": ask}
        for number in range(3)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert client.files.content(file.id).read() == content
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT_ENDPOINT, completion_window="24h")
    tell(waits="batch")
    deadline = time.monotonic() + BATCH_LIMIT_S
    while batch.status != "completed":
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    output = client.files.content(batch.output_file_id).text
    results = [json.loads(line) for line in output.splitlines()]
    assert sorted(result["custom_id"] for result in results) == ["line-0", "line-1", "line-2"]
    for result in results:
        assert result["response"]["body"]["choices"][0]["message"]["content"] == target["answer"]
    assert client.files.delete(file.id).deleted


def abort():
    endless = {**ask, "max_tokens": 480, "extra_body": {"ignore_eos": True}}
    with client.chat.completions.create(**endless, stream=True) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break


for check in (models, chat, responses, logprobs, tools, schema, errors, batches, abort):
    check()
    tell(check=check.__name__)
