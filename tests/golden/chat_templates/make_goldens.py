#!/usr/bin/env python3
"""Renders conversations.json with every template and writes TEMPLATE.json: what Jinja2, with the settings of Hugging
Face's transformers, makes of it; null where the template refuses the conversation. The test of src/model/text
compares the engine that the server uses with these files. Needs Jinja2 3."""
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<begin>", "<end>"


def refuse(message):
    raise jinja2.TemplateError(message)


def main():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.globals["raise_exception"] = refuse
    conversations = json.loads((HERE / "conversations.json").read_text(encoding="utf-8"))
    for path in sorted(HERE.glob("*.jinja")):
        template = environment.from_string(path.read_text(encoding="utf-8"))
        rendered = {}
        for name, conversation in conversations.items():
            try:
                rendered[name] = template.render(
                    messages=conversation["messages"], bos_token=BEGIN, eos_token=END,
                    add_generation_prompt=conversation.get("add_generation_prompt", True))
            except jinja2.TemplateError:
                rendered[name] = None
        path.with_suffix(".json").write_text(json.dumps(rendered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


main()
