#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks our test server with OpenAI's own client: what our tests serve is what it understands.

  openai_client.py URL
"""
import sys

import openai

KEY = "sk-canary-0123456789"
TEXT = "Grüß 😀 dich"
HELLO = [{"role": "user", "content": "Hello?"}]
passed = failed = 0


def check(name, holds):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print("FAILED:", name)


def chat(client, model):
    return client.chat.completions.create(model=model, messages=HELLO)


def stream(client, model):
    return list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}))


def deltas(chunks):
    return [chunk.choices[0].delta for chunk in chunks if chunk.choices]


def text_of(chunks):
    return "".join(delta.content or "" for delta in deltas(chunks))


def check_chat(client):
    answer = chat(client, "m")
    check("the text", answer.choices[0].message.content == "Grüß dich" and answer.choices[0].finish_reason == "stop")
    check("the usage", (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (12, 7, 19))
    check("the reasoning beside it", answer.choices[0].message.reasoning == "Hm.")
    call = chat(client, "calls").choices[0].message.tool_calls[0]
    check("a call", (call.id, call.type, call.function.name, call.function.arguments) == ("a", "function", "f", '{"x":1}'))


def check_streams(client):
    for model in ("m", "bytes"):
        chunks = stream(client, model)
        check(f"a stream of {model}", text_of(chunks) == TEXT)
        check(f"the end of {model}", [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"])
        check(f"the usage of {model}", chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 7)
    calls = {}
    for delta in deltas(stream(client, "calls")):
        for piece in delta.tool_calls or []:
            name, arguments = calls.get(piece.index, ("", ""))
            calls[piece.index] = (name + (piece.function.name or ""), arguments + (piece.function.arguments or ""))
    check("streamed calls", calls == {0: ("f", '{"x":"é"}'), 1: ("g", "{}")})


def check_embeddings(client):
    texts = ["a", "bcd", "ef"]
    wanted = [[1, 97], [3, 98], [2, 101]]
    for name, options in (("its own choice", {}), ("base64 decoded", {"encoding_format": openai.NOT_GIVEN}), ("float", {"encoding_format": "float"})):
        data = client.embeddings.create(model="m", input=texts, **options).data
        check("embeddings, " + name, [one.embedding for one in sorted(data, key=lambda one: one.index)] == wanted)
    coded = client.embeddings.create(model="m", input=texts, encoding_format="base64").data
    check("embeddings, base64 as it is", sorted(coded, key=lambda one: one.index)[0].embedding == "AACAPwAAwkI=")


def refusal(ask):
    try:
        ask()
    except openai.APIError as error:
        return error
    return None


def check_errors(client):
    kinds = {"400": openai.BadRequestError, "403": openai.PermissionDeniedError, "404": openai.NotFoundError, "402": openai.APIStatusError,
             "422": openai.UnprocessableEntityError, "429": openai.RateLimitError, "500": openai.InternalServerError, "502": openai.InternalServerError}
    words = {"400": "why", "402": "insufficient balance", "404": "no model", "422": "why", "429": "slow down", "500": "too large"}
    for model, kind in kinds.items():
        for ask in (chat, stream):
            error = refusal(lambda: ask(client, model))
            check(f"{ask.__name__} {model}", type(error) is kind and error.status_code == int(model) and words.get(model, "") in str(error))
    error = refusal(lambda: stream(client, "error in the stream"))
    check("an error in a stream", error is not None and "out of stock" in str(error))
    other = openai.OpenAI(base_url=client.base_url, api_key="sk-another-9876543210", max_retries=0)
    error = refusal(lambda: chat(other, "m"))
    check("a wrong key", type(error) is openai.AuthenticationError and error.code == "invalid_api_key")


def main(url):
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10)
    for part in (check_chat, check_streams, check_embeddings, check_errors):
        part(client)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
