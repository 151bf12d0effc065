#include "model/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "json/yaml.h"

namespace model {
namespace {

// clang-format off
/// The model that the quickstart serves (docs/reference/presets.md).
constexpr Preset kDemo[] = {
    {.name = "smollm2-135m-instruct", .hf_id = "HuggingFaceTB/SmolLM2-135M-Instruct", .architecture = "LlamaForCausalLM", .weights_gib = 0.0916, .disk = "1Gi", .quantization = "q4_1", .context_tokens = 8192, .kv_bytes_per_token = 23040, .attention = "GQA", .instruct = true, .tunable = true, .sampling = {.temperature = 0.2, .top_p = 0.9, .top_k = {}}},
};

/// Upstream's catalogue at v0.12.
constexpr Preset kCurrent[] = {
    {.name = "phi-4", .hf_id = "microsoft/phi-4", .architecture = "Phi3ForCausalLM", .weights_gib = 27.31, .disk = "107Gi", .quantization = "", .context_tokens = 16384, .kv_bytes_per_token = 204800, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "phi-4-mini-instruct", .hf_id = "microsoft/Phi-4-mini-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 7.15, .disk = "87Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "deepseek-r1-distill-llama-8b", .hf_id = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", .architecture = "LlamaForCausalLM", .weights_gib = 14.96, .disk = "94Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "deepseek-r1-distill-qwen-14b", .hf_id = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", .architecture = "Qwen2ForCausalLM", .weights_gib = 27.51, .disk = "107Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 196608, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "phi-3-mini-4k-instruct", .hf_id = "microsoft/Phi-3-mini-4k-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 7.12, .disk = "87Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 393216, .attention = "MHA", .instruct = true, .tunable = true},
    {.name = "phi-3-mini-128k-instruct", .hf_id = "microsoft/Phi-3-mini-128k-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 7.12, .disk = "87Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 393216, .attention = "MHA", .instruct = true, .tunable = true},
    {.name = "phi-3-medium-4k-instruct", .hf_id = "microsoft/Phi-3-medium-4k-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 26.0, .disk = "106Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 204800, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "phi-3-medium-128k-instruct", .hf_id = "microsoft/Phi-3-medium-128k-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 26.0, .disk = "106Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 204800, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "phi-3.5-mini-instruct", .hf_id = "microsoft/Phi-3.5-mini-instruct", .architecture = "Phi3ForCausalLM", .weights_gib = 7.12, .disk = "87Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 393216, .attention = "MHA", .instruct = true, .tunable = true},
    {.name = "qwen2.5-coder-7b-instruct", .hf_id = "Qwen/Qwen2.5-Coder-7B-Instruct", .architecture = "Qwen2ForCausalLM", .weights_gib = 14.19, .disk = "94Gi", .quantization = "", .context_tokens = 32768, .kv_bytes_per_token = 57344, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "qwen2.5-coder-32b-instruct", .hf_id = "Qwen/Qwen2.5-Coder-32B-Instruct", .architecture = "Qwen2ForCausalLM", .weights_gib = 61.03, .disk = "141Gi", .quantization = "", .context_tokens = 32768, .kv_bytes_per_token = 262144, .attention = "GQA", .instruct = true, .tunable = true},
    {.name = "gpt-oss-20b", .hf_id = "openai/gpt-oss-20b", .architecture = "GptOssForCausalLM", .weights_gib = 25.63, .disk = "105Gi", .quantization = "mxfp4", .context_tokens = 131072, .kv_bytes_per_token = 49152, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gpt-oss-120b", .hf_id = "openai/gpt-oss-120b", .architecture = "GptOssForCausalLM", .weights_gib = 121.54, .disk = "201Gi", .quantization = "mxfp4", .context_tokens = 131072, .kv_bytes_per_token = 73728, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "llama-3.1-8b-instruct", .hf_id = "meta-llama/Llama-3.1-8B-Instruct", .architecture = "LlamaForCausalLM", .weights_gib = 14.96, .disk = "94Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "llama-3.3-70b-instruct", .hf_id = "meta-llama/Llama-3.3-70B-Instruct", .architecture = "LlamaForCausalLM", .weights_gib = 131.42, .disk = "211Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 327680, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "mistral-7b", .hf_id = "mistralai/Mistral-7B-v0.3", .architecture = "MistralForCausalLM", .weights_gib = 13.5, .disk = "93Gi", .quantization = "", .context_tokens = 32768, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = false, .tunable = true},
    {.name = "mistral-7b-instruct", .hf_id = "mistralai/Mistral-7B-Instruct-v0.3", .architecture = "MistralForCausalLM", .weights_gib = 13.5, .disk = "93Gi", .quantization = "", .context_tokens = 32768, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "ministral-3-3b-instruct", .hf_id = "mistralai/Ministral-3-3B-Instruct-2512", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 4.35, .disk = "84Gi", .quantization = "fp8", .context_tokens = 262144, .kv_bytes_per_token = 106496, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "ministral-3-8b-instruct", .hf_id = "mistralai/Ministral-3-8B-Instruct-2512", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 9.7, .disk = "89Gi", .quantization = "fp8", .context_tokens = 262144, .kv_bytes_per_token = 139264, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "ministral-3-14b-instruct", .hf_id = "mistralai/Ministral-3-14B-Instruct-2512", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 14.65, .disk = "94Gi", .quantization = "fp8", .context_tokens = 262144, .kv_bytes_per_token = 163840, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-3-4b-instruct", .hf_id = "google/gemma-3-4b-it", .architecture = "Gemma3ForConditionalGeneration", .weights_gib = 8.01, .disk = "88Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 139264, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-3-27b-instruct", .hf_id = "google/gemma-3-27b-it", .architecture = "Gemma3ForConditionalGeneration", .weights_gib = 51.1, .disk = "131Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 507904, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "deepseek-r1-0528", .hf_id = "deepseek-ai/DeepSeek-R1-0528", .architecture = "DeepseekV3ForCausalLM", .weights_gib = 641.3, .disk = "721Gi", .quantization = "fp8", .context_tokens = 163840, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "deepseek-v3-0324", .hf_id = "deepseek-ai/DeepSeek-V3-0324", .architecture = "DeepseekV3ForCausalLM", .weights_gib = 641.3, .disk = "721Gi", .quantization = "fp8", .context_tokens = 163840, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "mistral-large-3-675b-instruct", .hf_id = "mistralai/Mistral-Large-3-675B-Instruct-2512", .architecture = "MistralLarge3ForCausalLM", .weights_gib = 634.7, .disk = "714Gi", .quantization = "float-quantized", .context_tokens = 294912, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-3-super-120b-a12b-bf16", .hf_id = "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", .architecture = "NemotronHForCausalLM", .weights_gib = 230.25, .disk = "310Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 90112, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "nemotron-cascade-2-30b-a3b", .hf_id = "nvidia/Nemotron-Cascade-2-30B-A3B", .architecture = "NemotronHForCausalLM", .weights_gib = 58.82, .disk = "138Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 53248, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-3-nano-30b-a3b-bf16", .hf_id = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", .architecture = "NemotronHForCausalLM", .weights_gib = 58.82, .disk = "138Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 53248, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-nano-12b-v2-vl-bf16", .hf_id = "nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", .architecture = "NemotronH_Nano_VL_V2", .weights_gib = 24.55, .disk = "104Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 253952, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-nano-9b-v2", .hf_id = "nvidia/NVIDIA-Nemotron-Nano-9B-v2", .architecture = "NemotronHForCausalLM", .weights_gib = 16.56, .disk = "96Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 229376, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-3-nano-4b-bf16", .hf_id = "nvidia/NVIDIA-Nemotron-3-Nano-4B-BF16", .architecture = "NemotronHForCausalLM", .weights_gib = 7.4, .disk = "87Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 172032, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3-8b-awq", .hf_id = "Qwen/Qwen3-8B-AWQ", .architecture = "Qwen3ForCausalLM", .weights_gib = 5.68, .disk = "85Gi", .quantization = "awq", .context_tokens = 40960, .kv_bytes_per_token = 147456, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-4-31b-it", .hf_id = "google/gemma-4-31B-it", .architecture = "Gemma4ForConditionalGeneration", .weights_gib = 58.25, .disk = "138Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 983040, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-4-26b-a4b-it", .hf_id = "google/gemma-4-26B-A4B-it", .architecture = "Gemma4ForConditionalGeneration", .weights_gib = 48.07, .disk = "128Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 245760, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-4-e4b-it", .hf_id = "google/gemma-4-E4B-it", .architecture = "Gemma4ForConditionalGeneration", .weights_gib = 14.89, .disk = "94Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 86016, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "gemma-4-e2b-it", .hf_id = "google/gemma-4-E2B-it", .architecture = "Gemma4ForConditionalGeneration", .weights_gib = 9.54, .disk = "89Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 35840, .attention = "MQA", .instruct = true, .tunable = false},
    {.name = "mistral-small-4-119b-2603", .hf_id = "mistralai/Mistral-Small-4-119B-2603", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 112.63, .disk = "192Gi", .quantization = "fp8", .context_tokens = 1048576, .kv_bytes_per_token = 23040, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "mistral-small-4-119b-2603-nvfp4", .hf_id = "mistralai/Mistral-Small-4-119B-2603-NVFP4", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 65.95, .disk = "145Gi", .quantization = "nvfp4-pack-quantized", .context_tokens = 1048576, .kv_bytes_per_token = 23040, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-2b", .hf_id = "Qwen/Qwen3.5-2B", .architecture = "Qwen3_5ForConditionalGeneration", .weights_gib = 4.24, .disk = "84Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 49152, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-4b", .hf_id = "Qwen/Qwen3.5-4B", .architecture = "Qwen3_5ForConditionalGeneration", .weights_gib = 8.68, .disk = "88Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-9b", .hf_id = "Qwen/Qwen3.5-9B", .architecture = "Qwen3_5ForConditionalGeneration", .weights_gib = 17.98, .disk = "97Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 131072, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-122b-a10b-gptq-int4", .hf_id = "Qwen/Qwen3.5-122B-A10B-GPTQ-Int4", .architecture = "Qwen3_5MoeForConditionalGeneration", .weights_gib = 73.47, .disk = "153Gi", .quantization = "gptq", .context_tokens = 262144, .kv_bytes_per_token = 98304, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-122b-a10b", .hf_id = "Qwen/Qwen3.5-122B-A10B", .architecture = "Qwen3_5MoeForConditionalGeneration", .weights_gib = 232.99, .disk = "312Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 98304, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.6-35b-a3b-fp8", .hf_id = "Qwen/Qwen3.6-35B-A3B-FP8", .architecture = "Qwen3_5MoeForConditionalGeneration", .weights_gib = 34.9, .disk = "114Gi", .quantization = "fp8", .context_tokens = 262144, .kv_bytes_per_token = 81920, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.6-35b-a3b", .hf_id = "Qwen/Qwen3.6-35B-A3B", .architecture = "Qwen3_5MoeForConditionalGeneration", .weights_gib = 66.97, .disk = "146Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 81920, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.6-27b", .hf_id = "Qwen/Qwen3.6-27B", .architecture = "Qwen3_5ForConditionalGeneration", .weights_gib = 51.75, .disk = "131Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 262144, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.5-397b-a17b-gptq-int4", .hf_id = "Qwen/Qwen3.5-397B-A17B-GPTQ-Int4", .architecture = "Qwen3_5MoeForConditionalGeneration", .weights_gib = 219.56, .disk = "299Gi", .quantization = "gptq", .context_tokens = 262144, .kv_bytes_per_token = 122880, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "kimi-k2.5", .hf_id = "moonshotai/Kimi-K2.5", .architecture = "KimiK25ForConditionalGeneration", .weights_gib = 554.32, .disk = "634Gi", .quantization = "pack-quantized", .context_tokens = 262144, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "kimi-k2.6", .hf_id = "moonshotai/Kimi-K2.6", .architecture = "KimiK25ForConditionalGeneration", .weights_gib = 554.32, .disk = "634Gi", .quantization = "pack-quantized", .context_tokens = 262144, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "minimax-m2.7", .hf_id = "MiniMaxAI/MiniMax-M2.7", .architecture = "MiniMaxM2ForCausalLM", .weights_gib = 214.34, .disk = "294Gi", .quantization = "fp8", .context_tokens = 204800, .kv_bytes_per_token = 253952, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "mistral-medium-3.5-128b", .hf_id = "mistralai/Mistral-Medium-3.5-128B", .architecture = "Mistral3ForConditionalGeneration", .weights_gib = 124.43, .disk = "204Gi", .quantization = "fp8", .context_tokens = 262144, .kv_bytes_per_token = 360448, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "deepseek-v4-flash-0731", .hf_id = "deepseek-ai/DeepSeek-V4-Flash-0731", .architecture = "DeepseekV4ForCausalLM", .weights_gib = 155.43, .disk = "235Gi", .quantization = "fp8", .context_tokens = 1048576, .kv_bytes_per_token = 88064, .attention = "MQA", .instruct = true, .tunable = false},
    {.name = "deepseek-v4-pro", .hf_id = "deepseek-ai/DeepSeek-V4-Pro", .architecture = "DeepseekV4ForCausalLM", .weights_gib = 805.34, .disk = "885Gi", .quantization = "fp8", .context_tokens = 1048576, .kv_bytes_per_token = 124928, .attention = "MQA", .instruct = true, .tunable = false},
    {.name = "gemma-4-12b-it", .hf_id = "google/gemma-4-12B-it", .architecture = "Gemma4UnifiedForConditionalGeneration", .weights_gib = 22.28, .disk = "102Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 393216, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "glm-5.2-fp8", .hf_id = "zai-org/GLM-5.2-FP8", .architecture = "GlmMoeDsaForCausalLM", .weights_gib = 703.75, .disk = "783Gi", .quantization = "fp8", .context_tokens = 1048576, .kv_bytes_per_token = 89856, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "kimi-k2.7-code", .hf_id = "moonshotai/Kimi-K2.7-Code", .architecture = "KimiK25ForConditionalGeneration", .weights_gib = 554.32, .disk = "634Gi", .quantization = "pack-quantized", .context_tokens = 262144, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "nvidia-nemotron-3-ultra-550b-a55b-nvfp4", .hf_id = "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4", .architecture = "NemotronHForCausalLM", .weights_gib = 328.13, .disk = "408Gi", .quantization = "MIXED_PRECISION", .context_tokens = 262144, .kv_bytes_per_token = 110592, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "deepseek-v3.2", .hf_id = "deepseek-ai/DeepSeek-V3.2", .architecture = "DeepseekV32ForCausalLM", .weights_gib = 642.14, .disk = "722Gi", .quantization = "fp8", .context_tokens = 163840, .kv_bytes_per_token = 70272, .attention = "MLA", .instruct = true, .tunable = false},
    {.name = "granite-4.1-8b", .hf_id = "ibm-granite/granite-4.1-8b", .architecture = "GraniteForCausalLM", .weights_gib = 16.38, .disk = "96Gi", .quantization = "", .context_tokens = 131072, .kv_bytes_per_token = 163840, .attention = "GQA", .instruct = true, .tunable = false},
    {.name = "qwen3.8-27b", .hf_id = "Qwen/Qwen3.8-27B", .architecture = "Qwen3_5ForConditionalGeneration", .weights_gib = 51.75, .disk = "131Gi", .quantization = "", .context_tokens = 262144, .kv_bytes_per_token = 262144, .attention = "GQA", .instruct = true, .tunable = false},
};

/// Names of v0.3 that later releases dropped; users' manifests still hold them.
constexpr Preset kEarlier[] = {
    {.name = "falcon-7b", .hf_id = "tiiuae/falcon-7b", .architecture = "FalconForCausalLM", .weights_gib = 13.44, .disk = "50Gi", .quantization = "", .context_tokens = 2048, .kv_bytes_per_token = 8192, .attention = "MQA", .instruct = false, .tunable = true, .tag = "0.0.5"},
    {.name = "falcon-7b-instruct", .hf_id = "tiiuae/falcon-7b-instruct", .architecture = "FalconForCausalLM", .weights_gib = 13.44, .disk = "50Gi", .quantization = "", .context_tokens = 2048, .kv_bytes_per_token = 8192, .attention = "MQA", .instruct = true, .tunable = false, .tag = "0.0.5"},
    {.name = "falcon-40b", .hf_id = "tiiuae/falcon-40b", .architecture = "FalconForCausalLM", .weights_gib = 77.9, .disk = "400Gi", .quantization = "", .context_tokens = 2048, .kv_bytes_per_token = 8192, .attention = "GQA", .instruct = false, .tunable = true, .tag = "0.0.6"},
    {.name = "falcon-40b-instruct", .hf_id = "tiiuae/falcon-40b-instruct", .architecture = "FalconForCausalLM", .weights_gib = 77.9, .disk = "400Gi", .quantization = "", .context_tokens = 2048, .kv_bytes_per_token = 8192, .attention = "GQA", .instruct = true, .tunable = false, .tag = "0.0.6"},
    {.name = "phi-2", .hf_id = "microsoft/phi-2", .architecture = "PhiForCausalLM", .weights_gib = 5.2, .disk = "50Gi", .quantization = "", .context_tokens = 2048, .kv_bytes_per_token = 327680, .attention = "MHA", .instruct = false, .tunable = true, .tag = "0.0.4"},
    {.name = "llama-2-7b", .hf_id = "meta-llama/Llama-2-7b-hf", .architecture = "LlamaForCausalLM", .weights_gib = 12.6, .disk = "34Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 524288, .attention = "MHA", .instruct = false, .tunable = false, .access = "private"},
    {.name = "llama-2-13b", .hf_id = "meta-llama/Llama-2-13b-hf", .architecture = "LlamaForCausalLM", .weights_gib = 24.3, .disk = "46Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 819200, .attention = "MHA", .instruct = false, .tunable = false, .access = "private"},
    {.name = "llama-2-70b", .hf_id = "meta-llama/Llama-2-70b-hf", .architecture = "LlamaForCausalLM", .weights_gib = 128.5, .disk = "158Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 327680, .attention = "GQA", .instruct = false, .tunable = false, .access = "private"},
    {.name = "llama-2-7b-chat", .hf_id = "meta-llama/Llama-2-7b-chat-hf", .architecture = "LlamaForCausalLM", .weights_gib = 12.6, .disk = "34Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 524288, .attention = "MHA", .instruct = true, .tunable = false, .access = "private"},
    {.name = "llama-2-13b-chat", .hf_id = "meta-llama/Llama-2-13b-chat-hf", .architecture = "LlamaForCausalLM", .weights_gib = 24.3, .disk = "46Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 819200, .attention = "MHA", .instruct = true, .tunable = false, .access = "private"},
    {.name = "llama-2-70b-chat", .hf_id = "meta-llama/Llama-2-70b-chat-hf", .architecture = "LlamaForCausalLM", .weights_gib = 128.5, .disk = "158Gi", .quantization = "", .context_tokens = 4096, .kv_bytes_per_token = 327680, .attention = "GQA", .instruct = true, .tunable = false, .access = "private"},
};
// clang-format on

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<Preset> sorted_presets() {
  std::vector<Preset> all;
  all.insert(all.end(), std::begin(kDemo), std::end(kDemo));
  all.insert(all.end(), std::begin(kCurrent), std::end(kCurrent));
  all.insert(all.end(), std::begin(kEarlier), std::end(kEarlier));
  std::sort(all.begin(), all.end(),
            [](const Preset& a, const Preset& b) { return a.name < b.name; });
  return all;
}

}  // namespace

std::span<const Preset> presets() {
  static const std::vector<Preset> all = sorted_presets();
  return all;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : presets()) {
    if (same(preset.name, name) || same(preset.hf_id, name)) return &preset;
  }
  return nullptr;
}

std::string image_reference(const Preset& preset, std::string_view registry) {
  return fmt::format("{}{}kaito-{}:{}", registry, registry.empty() ? "" : "/", preset.name,
                     preset.tag);
}

std::optional<std::int64_t> max_model_len(const std::map<std::string, std::string>& config_data) {
  const auto file = config_data.find("inference_config.yaml");
  if (file == config_data.end()) return std::nullopt;
  const auto documents = json::parse_yaml(file->second);
  if (!documents || documents->empty()) return std::nullopt;
  const json::Object* vllm = json::find_object(documents->front().value, "vllm");
  const json::Value* length = vllm ? vllm->if_contains("max-model-len") : nullptr;
  if (!length || !length->is_int64() || length->get_int64() <= 0) return std::nullopt;
  return length->get_int64();
}

}  // namespace model
