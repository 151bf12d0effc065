#!/usr/bin/env python3
"""Writes a LoRA adapter as PEFT saves it, with random weights, for tests.

    make_adapter.py OUT --layers N --module NAME:INPUTS:OUTPUTS... [--rank R] [--alpha A] [--size X] [--seed S]

The matrices of every layer's NAME (as `mlp.down_proj`) are random with entries of about X. Needs Python 3.8 only.
Equal arguments give equal bytes.
"""

import argparse
import array
import json
import os
import random
import struct
import sys


def write_safetensors(path, tensors):
    """tensors: (name, shape, array of floats)."""
    header, data = {}, b""
    for name, shape, values in tensors:
        if sys.byteorder == "big":
            values = values[:]
            values.byteswap()
        raw = values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_adapter(out, layers, modules, rank=1, alpha=1, size=0.1, seed=1):
    """modules: (name, inputs, outputs)."""
    rng = random.Random(seed)
    tensors = []
    for layer in range(layers):
        for name, inputs, outputs in modules:
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            for side, shape in (("A", [rank, inputs]), ("B", [outputs, rank])):
                values = array.array("f", (rng.uniform(-size, size) for _ in range(shape[0] * shape[1])))
                tensors.append((f"{prefix}.lora_{side}.weight", shape, values))
    os.makedirs(out, exist_ok=True)
    write_safetensors(os.path.join(out, "adapter_model.safetensors"), tensors)
    with open(os.path.join(out, "adapter_config.json"), "w") as file:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "bias": "none",
                   "target_modules": [name.rsplit(".", 1)[-1] for name, _, _ in modules],
                   "base_model_name_or_path": "test"}, file)


def main():
    parser = argparse.ArgumentParser(description="Write a LoRA adapter with random weights.")
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--module", action="append", required=True, help="NAME:INPUTS:OUTPUTS")
    parser.add_argument("--rank", type=int, default=1)
    parser.add_argument("--alpha", type=float, default=1)
    parser.add_argument("--size", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    modules = []
    for text in options.module:
        name, inputs, outputs = text.split(":")
        modules.append((name, int(inputs), int(outputs)))
    write_adapter(options.out, options.layers, modules, options.rank, options.alpha, options.size, options.seed)


if __name__ == "__main__":
    main()
