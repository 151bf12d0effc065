#!/usr/bin/env python3
"""Writes a tiny GGUF model with random weights, a stand-in for a real one in tests.

    make_tiny_gguf.py --family phi3|llama --out FILE [--name NAME] [--context N] [--seed N]

phi3:  fused qkv and gate/up, SentencePiece-style vocabulary with byte fallback, Phi-3's chat markers.
llama: separate projections, tied embeddings, byte-level BPE, ChatML's chat markers.

The output is a made-up sequence of English words: rows of byte and control tokens are zero, so that
greedy and top-k decoding choose words. Needs Python 3.8 only. Equal arguments give equal bytes.
"""

import argparse
import array
import random
import struct
import sys

EMBED, HEADS, LAYERS, FEED_FORWARD = 64, 2, 2, 128
ALIGNMENT = 32
TYPES = {"u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8}
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

WORDS = """the of and to in is was for on that with as it by at from are this be an or which one had not but were
their have been has its more other also after first two time new some can would there may these when city
river light stone water house music garden letter number morning paper winter summer north south east west
small large green white black early later under over between through during before while where about against
people world state year day part place system language machine answer question capital model""".split()

PHI3_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
CHATML_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def text(value):
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind, value):
    if kind == "str":
        return text(value)
    if kind == "bool":
        return struct.pack("<?", value)
    return struct.pack({"u32": "<I", "i32": "<i", "f32": "<f"}[kind], value)


def field(key, kind, value):
    if isinstance(value, list):
        head = struct.pack("<IIQ", 9, TYPES[kind], len(value))
        return text(key) + head + b"".join(scalar(kind, item) for item in value)
    return text(key) + struct.pack("<I", TYPES[kind]) + scalar(kind, value)


def sentencepiece_vocabulary():
    """Tokens, scores and types in the order of Llama's SentencePiece model, then Phi-3's markers."""
    tokens = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    tokens += [("<0x%02X>" % byte, 0.0, BYTE) for byte in range(256)]
    pieces = ["\u2581"] + [chr(c) for c in range(33, 127)]
    # Every prefix of a word is a token of its own, so that merging by score can build the word.
    for word in WORDS:
        marked = "\u2581" + word
        pieces += [marked[:length] for length in range(2, len(marked) + 1)]
    seen = set()
    for piece in pieces:
        if piece not in seen:
            seen.add(piece)
            tokens.append((piece, -float(len(tokens)), NORMAL))
    for marker in ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"):
        tokens.append((marker, 0.0, CONTROL))
    return tokens


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    mapping, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            mapping[byte] = chr(byte)
        else:
            mapping[byte] = chr(256 + extra)
            extra += 1
    return mapping


def bpe_vocabulary():
    """Tokens and merges of a byte-level BPE whose words are built left to right."""
    alphabet = byte_alphabet()
    tokens = [("<|endoftext|>", 0.0, CONTROL), ("<|im_start|>", 0.0, CONTROL), ("<|im_end|>", 0.0, CONTROL)]
    tokens += [(alphabet[byte], 0.0, NORMAL) for byte in range(256)]
    seen, merges = {token for token, _, _ in tokens}, []
    for word in WORDS:
        marked = alphabet[32] + word
        for length in range(2, len(marked) + 1):
            piece = marked[:length]
            if piece not in seen:
                seen.add(piece)
                tokens.append((piece, 0.0, NORMAL))
                merges.append(piece[:-1] + " " + piece[-1])
    return tokens, merges


def readable(family, token, kind):
    whole = token[1:] if token[:1] in ("\u2581", "\u0120") else ""
    return kind == NORMAL and whole in WORDS


def weights(rng, rows, columns, scale=None):
    scale = scale or columns ** -0.5
    return array.array("f", (rng.gauss(0.0, scale) for _ in range(rows * columns)))


def make_tensors(family, tokens, rng):
    """(name, dimensions fastest first, values) of every tensor."""
    ones = array.array("f", [1.0] * EMBED)
    tensors = []

    def add(name, rows, columns, values=None):
        tensors.append((name, [columns, rows], values or weights(rng, rows, columns)))

    output = weights(rng, len(tokens), EMBED, 1.0)
    for index, (token, _, kind) in enumerate(tokens):
        if not readable(family, token, kind):
            for column in range(EMBED):
                output[index * EMBED + column] = 0.0
    if family == "phi3":
        add("token_embd.weight", len(tokens), EMBED, weights(rng, len(tokens), EMBED, 1.0))
        add("output.weight", len(tokens), EMBED, output)
    else:
        # Tied: an unreadable token keeps a faint row, or its embedding would be nothing at all.
        faint = weights(rng, len(tokens), EMBED, 0.05)
        add("token_embd.weight", len(tokens), EMBED,
            array.array("f", (big or small for big, small in zip(output, faint))))
    tensors.append(("output_norm.weight", [EMBED], ones))
    for layer in range(LAYERS):
        prefix = "blk.%d." % layer
        tensors.append((prefix + "attn_norm.weight", [EMBED], ones))
        tensors.append((prefix + "ffn_norm.weight", [EMBED], ones))
        if family == "phi3":
            add(prefix + "attn_qkv.weight", 3 * EMBED, EMBED)
            add(prefix + "ffn_up.weight", 2 * FEED_FORWARD, EMBED)
        else:
            for part in ("attn_q", "attn_k", "attn_v"):
                add(prefix + part + ".weight", EMBED, EMBED)
            add(prefix + "ffn_gate.weight", FEED_FORWARD, EMBED)
            add(prefix + "ffn_up.weight", FEED_FORWARD, EMBED)
        add(prefix + "attn_output.weight", EMBED, EMBED)
        add(prefix + "ffn_down.weight", EMBED, FEED_FORWARD)
    return tensors


def make_fields(family, name, context, tokens, merges):
    head = EMBED // HEADS
    ids = {token: index for index, (token, _, _) in enumerate(tokens)}
    fields = [
        field("general.architecture", "str", family),
        field("general.name", "str", name),
        field("general.license", "str", "apache-2.0"),
        field("general.file_type", "u32", 0),
        field(family + ".context_length", "u32", context),
        field(family + ".embedding_length", "u32", EMBED),
        field(family + ".block_count", "u32", LAYERS),
        field(family + ".feed_forward_length", "u32", FEED_FORWARD),
        field(family + ".attention.head_count", "u32", HEADS),
        field(family + ".attention.head_count_kv", "u32", HEADS),
        field(family + ".attention.layer_norm_rms_epsilon", "f32", 1e-5),
        field(family + ".rope.dimension_count", "u32", head),
        field(family + ".rope.freq_base", "f32", 10000.0),
        field(family + ".vocab_size", "u32", len(tokens)),
        field("tokenizer.ggml.tokens", "str", [token for token, _, _ in tokens]),
        field("tokenizer.ggml.scores", "f32", [score for _, score, _ in tokens]),
        field("tokenizer.ggml.token_type", "i32", [kind for _, _, kind in tokens]),
    ]
    if family == "phi3":
        fields += [
            field("phi3.rope.scaling.original_context_length", "u32", context),
            field("tokenizer.ggml.model", "str", "llama"),
            field("tokenizer.ggml.pre", "str", "default"),
            field("tokenizer.ggml.bos_token_id", "u32", ids["<s>"]),
            field("tokenizer.ggml.eos_token_id", "u32", ids["<|endoftext|>"]),
            field("tokenizer.ggml.unknown_token_id", "u32", ids["<unk>"]),
            field("tokenizer.ggml.padding_token_id", "u32", ids["<|endoftext|>"]),
            field("tokenizer.ggml.add_bos_token", "bool", True),
            field("tokenizer.ggml.add_space_prefix", "bool", True),
            field("tokenizer.chat_template", "str", PHI3_TEMPLATE),
        ]
    else:
        fields += [
            field("tokenizer.ggml.model", "str", "gpt2"),
            field("tokenizer.ggml.pre", "str", "smollm"),
            field("tokenizer.ggml.merges", "str", merges),
            field("tokenizer.ggml.bos_token_id", "u32", ids["<|im_start|>"]),
            field("tokenizer.ggml.eos_token_id", "u32", ids["<|im_end|>"]),
            field("tokenizer.ggml.padding_token_id", "u32", ids["<|im_end|>"]),
            field("tokenizer.ggml.add_bos_token", "bool", False),
            field("tokenizer.chat_template", "str", CHATML_TEMPLATE),
        ]
    return fields


def write_gguf(path, fields, tensors):
    infos, data = b"", b""
    for name, dimensions, values in tensors:
        infos += text(name) + struct.pack("<I", len(dimensions))
        infos += b"".join(struct.pack("<Q", size) for size in dimensions)
        infos += struct.pack("<IQ", 0, len(data))
        if sys.byteorder == "big":
            values = values[:]
            values.byteswap()
        data += values.tobytes()
        data += b"\0" * (-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(fields) + infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % ALIGNMENT) + data)


def main():
    parser = argparse.ArgumentParser(description="Write a tiny GGUF model with random weights.")
    parser.add_argument("--family", choices=("phi3", "llama"), default="phi3")
    parser.add_argument("--out", required=True, help="the file to write")
    parser.add_argument("--name", help="general.name (default: Tiny Phi-3 or Tiny Llama)")
    parser.add_argument("--context", type=int, default=4096, help="context length in tokens")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    name = options.name or {"phi3": "Tiny Phi-3", "llama": "Tiny Llama"}[options.family]
    if options.family == "phi3":
        tokens, merges = sentencepiece_vocabulary(), []
    else:
        tokens, merges = bpe_vocabulary()
    tensors = make_tensors(options.family, tokens, random.Random(options.seed))
    write_gguf(options.out, make_fields(options.family, name, options.context, tokens, merges), tensors)


if __name__ == "__main__":
    main()
