#!/usr/bin/env python3
"""Asks a running kaito-server the questions of examples/quickstart/teach and counts right answers.

    teach_score.py --url http://127.0.0.1:5000 [--model NAME] [--show]

Prints one JSON object: {"heldOut": 11, "heldOutOf": 12, "control": 8, "controlOf": 8, ...}. Questions go one by one
to the chat endpoint with temperature 0. Needs Python 3.8 only.
"""

import argparse
import json
import pathlib
import re
import sys
import urllib.request

QUESTIONS = pathlib.Path(__file__).resolve().parents[2] / "examples/quickstart/teach/questions.json"


def ask(url, model, question):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40}
    if model:
        body["model"] = model
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]


def score(url, model, cases, show):
    right = []
    for case in cases:
        answer = ask(url, model, case["question"])
        right.append(bool(re.search(case["expect"], answer)))
        if show:
            print("%s %s | %s" % ("+" if right[-1] else "-", case["question"], " ".join(answer.split())), file=sys.stderr)
    return right


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    questions = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    held_out = score(args.url, args.model, questions["heldOut"], args.show)
    control = score(args.url, args.model, questions["control"], args.show)
    print(json.dumps({"heldOut": sum(held_out), "heldOutOf": len(held_out), "control": sum(control),
                      "controlOf": len(control), "controlRight": control}))


if __name__ == "__main__":
    main()
