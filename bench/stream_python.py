# SPDX-License-Identifier: MIT
"""The same as stream.cpp with OpenAI's client.

  stream_python.py URL ROUNDS
"""
import sys
import time

import openai

now = time.monotonic_ns  # the clock of std::chrono::steady_clock
QUESTION = [{"role": "user", "content": "What time is it?"}]


def stream(client, model):
    return client.chat.completions.create(model=model, messages=QUESTION, stream=True, temperature=0, max_tokens=2048,
                                          stream_options={"include_usage": True})


def paced(client):
    first = True
    begin = now()
    for chunk in stream(client, "clock"):
        end = now()
        text = chunk.choices[0].delta.content if chunk.choices else None
        if not text:
            continue
        if first:
            came, sent = map(int, text.split())
            print("first", came - begin + end - sent)
            first = False
        else:
            print("token", end - int(text))


def flooded(client):
    begin = now()
    tokens = sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in stream(client, "flood"))
    print("flood", (now() - begin) // tokens)


def main(url, rounds):
    client = openai.OpenAI(base_url=url, api_key="sk-canary-0123456789")
    client.chat.completions.create(model="m", messages=QUESTION)
    for _ in range(int(rounds)):
        paced(client)
        flooded(client)


if __name__ == "__main__":
    main(*sys.argv[1:])
