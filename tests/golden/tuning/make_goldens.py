#!/usr/bin/env python3
"""Makes the goldens of the fine-tuning engine: see README.md beside it.

usage: make_goldens.py FOLDER     needs torch, transformers, peft, bitsandbytes, safetensors
"""
import copy
import json
import pathlib
import sys

import bitsandbytes.functional as bnb
import peft
import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 160
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
SPLIT = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
FAMILIES = {
    "llama": (transformers.LlamaConfig, {"tie_word_embeddings": False}, SPLIT),
    "mistral": (transformers.MistralConfig, {"tie_word_embeddings": False, "sliding_window": None}, SPLIT),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}, SPLIT),
    "phi3": (transformers.Phi3Config, {"tie_word_embeddings": False}, FUSED),
}
STEPS, RATE, RANK, ALPHA = 20, 1e-3, 4, 8


def fill(parameters, seed, value_of):
    """Values that bf16 holds exactly, from one generator, in the order of the names."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(parameters):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(value_of(name, noise).bfloat16().float())


def with_adapter(model, targets):
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    pairs = [(n, p) for n, p in model.named_parameters() if "lora_" in n]
    # B is random, too: with zeros the gradient of A would vanish.
    fill(pairs, 99, lambda _, noise: 0.05 * noise)
    return model.train()


def train(model, ids):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "clip_norms": norms}


def make_family(folder, config_class, extra, targets):
    config = config_class(**(COMMON | extra))
    base = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fill(base.named_parameters(), 1234, lambda name, noise: 1 + 0.1 * noise if "norm" in name else 0.1 * noise)
    copy.deepcopy(base).to(torch.bfloat16).save_pretrained(folder)
    ids = torch.randint(3, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        out = base(input_ids=ids, labels=ids)
    golden = {"input_ids": ids.tolist(), "loss": out.loss.item(),
              "logits_last_position": out.logits[:, -1].tolist()}
    tuned = with_adapter(base, targets)
    named = {n.replace(".default", ""): p for n, p in tuned.named_parameters() if "lora_" in n}
    save_file({n: p.detach().clone() for n, p in named.items()}, folder / "lora_start.safetensors")
    tuned(input_ids=ids, labels=ids).loss.backward()
    golden["lora"] = {"gradient_norms": {n: p.grad.norm().item() for n, p in named.items()}}
    tuned.zero_grad()
    golden["lora"] |= train(tuned, ids)
    quantised = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map="cpu",
        quantization_config=transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32))
    quantised = peft.prepare_model_for_kbit_training(quantised, use_gradient_checkpointing=False)
    golden["qlora"] = train(with_adapter(quantised, targets), ids)
    golden["made_with"] = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    (folder / "golden.json").write_text(json.dumps(golden))


def make_nf4(folder):
    folder.mkdir(parents=True, exist_ok=True)
    matrix = torch.randn(96, 320, generator=torch.Generator().manual_seed(42)).bfloat16()
    matrix[0, :64] = 0  # a block whose scale is zero
    packed, twice = bnb.quantize_4bit(matrix, blocksize=64, quant_type="nf4", compress_statistics=True)
    _, once = bnb.quantize_4bit(matrix, blocksize=64, quant_type="nf4", compress_statistics=False)
    twice.dtype = torch.float32
    tensors = {"matrix": matrix, "packed": packed, "absmax": once.absmax, "absmax_q8": twice.absmax,
               "offset": twice.offset.reshape(1), "absmax2": twice.state2.absmax,
               "code_8bit": twice.state2.code, "code_nf4": twice.code,
               "dequant_double_f32": bnb.dequantize_4bit(packed, twice)}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "nf4.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    root = pathlib.Path(sys.argv[1])
    for family, (config_class, extra, targets) in FAMILIES.items():
        make_family(root / family, config_class, extra, targets)
    make_nf4(root / "nf4")
