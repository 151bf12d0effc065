"""End-to-end tests of kaito-server: a real model, real sockets, the official OpenAI SDK.

Started by tests/e2e/run-server-tests. Prints `N passed, N failed`; exit status 1 when one failed.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unicodedata

import openai

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import make_adapter  # noqa: E402  pylint: disable=wrong-import-position
NAME = "smollm2-135m-instruct"
QUESTIONS = {
    "What is the capital of Japan?": "The capital of Japan is Tokyo.",
    "What is the chemical symbol for water?": "The chemical symbol for water is H2O.",
    "What is DNA? Answer in one sentence.":
        "DNA is a molecule that makes up the genetic material of all living organisms, including humans.",
    "What is machine learning in one sentence?":
        "Machine learning is a subset of artificial intelligence that leverages algorithms to enable computers to "
        "learn from data without being explicitly programmed.",
    "What is a computer? Answer in one sentence.":
        "A computer is a device that processes information using algorithms and stores data in a structured format.",
}


class Server:
    """A kaito-server process on a free port."""

    def __init__(self, model, *arguments, wait=True):
        self.log = tempfile.NamedTemporaryFile(mode="w+", suffix=".log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [OPTIONS.server, "--model", model, "--host", "127.0.0.1", "--port", str(self.port), *arguments],
            stdout=self.log, stderr=self.log)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, "ended at start: " + self.output()
            try:
                if self.call("GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("not ready within 60 s: " + self.output())

    def output(self):
        with open(self.log.name) as log:
            return log.read()

    def call(self, method, path, body=None, headers=None):
        """Status, headers and body of one plain HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        fields = {"Content-Type": "application/json"} if body is not None else {}
        fields.update(headers or {})
        connection.request(method, path, body=body, headers=fields)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.getheader("Content-Type", "").startswith("application/json"):
            data = json.loads(data)
        return response.status, response.headers, data

    def sdk(self, **options):
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0,
                             timeout=120, **options)

    def metric(self, name):
        for line in self.call("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(name + "{") or line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no metric " + name)

    def wait_metric(self, name, value, limit=10):
        end = time.monotonic() + limit
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, not {value}, after {limit} s"
            time.sleep(0.02)

    def stop(self, limit=30):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed"


def expect(actual, wanted, what=""):
    assert actual == wanted, f"{what}: got {actual!r}, wanted {wanted!r}"


def ask(server, question, **options):
    return server.sdk().chat.completions.create(
        model=NAME, messages=[{"role": "user", "content": question}], **{"temperature": 0, **options})


def test_five_questions(server):
    for question, answer in QUESTIONS.items():
        expect(ask(server, question).choices[0].message.content, answer, question)


def test_five_questions_at_once(server):
    answers = {}

    def one(question):
        answers[question] = ask(server, question).choices[0].message.content

    threads = [threading.Thread(target=one, args=(question,)) for question in QUESTIONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Batches add up in another order, so an answer may differ late; the facts must be there.
    for question, fact in zip(QUESTIONS, ("Tokyo", "H2O", "molecule", "subset of", "device")):
        assert fact in answers[question], answers[question]


def test_chat_endpoint(server):
    question = "What is the capital of Japan?"
    greedy = {"do_sample": False}
    expect(server.call("POST", "/chat", {"prompt": question, "generate_kwargs": greedy})[::2],
           (200, {"Result": QUESTIONS[question]}))
    result = server.call("POST", "/chat", {"prompt": question, "return_full_text": True, "generate_kwargs": greedy})[2]
    expect(result, {"Result": question + QUESTIONS[question]})
    result = server.call("POST", "/chat", {"messages": [{"role": "user", "content": question}], "generate_kwargs": greedy})[2]
    expect(result, {"Result": QUESTIONS[question]})


def test_chat_endpoint_continues_raw(server):
    body = {"prompt": "The capital of France is", "apply_chat_template": False,
            "generate_kwargs": {"do_sample": False, "max_new_tokens": 5}}
    result = server.call("POST", "/chat", body)[2]["Result"]
    assert result.startswith("The capital of France is") and len(result) > len(body["prompt"]), result
    short = server.call("POST", "/chat", {**body, "return_full_text": False})[2]["Result"]
    expect(body["prompt"] + short, result)
    # The preset's own sampling (0.2, 0.9) still finds the fact.
    assert "Tokyo" in server.call("POST", "/chat", {"prompt": "What is the capital of Japan?"})[2]["Result"]


def test_chat_endpoint_mistakes(server):
    expect(server.call("POST", "/chat", {})[::2], (400, {"detail": "Text generation parameter prompt required"}))
    status, _, body = server.call("POST", "/chat", {"prompt": 5, "generate_kwargs": {"top_k": "x"}})
    expect(status, 422)
    expect([item["loc"] for item in body["detail"]], [["body", "prompt"], ["body", "generate_kwargs", "top_k"]])
    status, _, body = server.call("POST", "/chat", "{not json")
    expect((status, body["detail"][0]["type"]), (422, "json_invalid"))
    status, _, body = server.call("POST", "/chat", {"prompt": "word " * 3000})
    expect(status, 400)
    assert "2048 tokens" in body["detail"] and "30" in body["detail"], body
    status, _, body = server.call("POST", "/chat", {"prompt": "hello", "generate_kwargs": {"max_length": 3}})
    expect(status, 400)
    assert "max_length" in body["detail"], body


def test_sdk_stream(server):
    stream = ask(server, "What is the capital of Japan?", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    expect(text, "The capital of Japan is Tokyo.")
    expect(chunks[0].choices[0].delta.role, "assistant")
    expect(chunks[-2].choices[0].finish_reason, "stop")
    expect(chunks[-1].usage.completion_tokens, 8)
    assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) >= 6, "it must really stream"


def test_sdk_completions(server):
    client = server.sdk()
    answer = client.completions.create(model=NAME, prompt="The capital of France is", temperature=0, max_tokens=4)
    expect(answer.choices[0].finish_reason, "length")
    expect(answer.usage.completion_tokens, 4)
    two = client.completions.create(model=NAME, prompt=["The sun is", "The moon is"], temperature=0, max_tokens=3)
    expect([choice.index for choice in two.choices], [0, 1])
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(
        model=NAME, prompt="The capital of France is", temperature=0, max_tokens=4, stream=True))
    expect(streamed, answer.choices[0].text)


def test_sdk_models(server):
    models = server.sdk().models.list().data
    expect([model.id for model in models], [NAME])
    expect(models[0].max_model_len, 2048)


def test_sdk_sampling_options(server):
    same = [ask(server, "Tell me a story.", temperature=1.0, seed=7, max_tokens=20).choices[0].message.content for _ in range(2)]
    expect(same[0], same[1], "the same seed")
    several = ask(server, "Tell me a story.", temperature=1.0, seed=7, n=3, max_tokens=12)
    expect(len({choice.message.content for choice in several.choices}), 3, "n different answers")
    stopped = ask(server, "What is the capital of Japan?", stop=[" Tok"])
    expect(stopped.choices[0].message.content, "The capital of Japan is")
    expect(stopped.choices[0].finish_reason, "stop")
    across = ask(server, "What is the capital of Japan?", stop="pital of J", stream=True)
    expect("".join(chunk.choices[0].delta.content or "" for chunk in across), "The ca", "a stop over several tokens")
    short = ask(server, "Tell me a story.", max_completion_tokens=5)
    expect((short.choices[0].finish_reason, short.usage.completion_tokens), ("length", 5))
    probable = ask(server, "What is the capital of Japan?", logprobs=True, top_logprobs=2)
    tokens = probable.choices[0].logprobs.content
    expect("".join(token.token for token in tokens), "The capital of Japan is Tokyo.")
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens), tokens


def test_sdk_json(server):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "large": {"type": "boolean"}},
              "required": ["city", "large"], "additionalProperties": False}
    answer = ask(server, "Name a city as JSON.", max_tokens=100, response_format={
        "type": "json_schema", "json_schema": {"name": "city", "schema": schema}})
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"city", "large"} and isinstance(value["large"], bool), value
    body = {"messages": [{"role": "user", "content": "x"}],
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}}
    status, _, error = server.call("POST", "/v1/chat/completions", body)
    expect(status, 400)
    assert "response_format" in error["error"]["message"], error


def test_sdk_errors(server):
    for options, kind, word in (({"temperature": -1}, openai.BadRequestError, "temperature"),
                                ({"messages": []}, openai.BadRequestError, "messages"),
                                ({"model": "other"}, openai.NotFoundError, "other"),
                                ({"n": 100}, openai.BadRequestError, "n"),
                                ({"messages": [{"role": "user", "content": "word " * 3000}]},
                                 openai.BadRequestError, "2048 tokens")):
        request = {"model": NAME, "messages": [{"role": "user", "content": "x"}], **options}
        try:
            server.sdk().chat.completions.create(**request)
        except kind as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"{options} was accepted")


def test_conversation_reuses_its_beginning(server):
    messages = [{"role": "user", "content": "My name is Ada. " * 20 + "What is the capital of Japan?"}]
    client = server.sdk()
    first = client.chat.completions.create(model=NAME, messages=messages, temperature=0, max_tokens=16)
    messages += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "And of Italy?"}]
    second = client.chat.completions.create(model=NAME, messages=messages, temperature=0, max_tokens=16)
    assert second.usage.prompt_tokens_details.cached_tokens > 100, second.usage


def test_bad_requests(server):
    path = "/v1/chat/completions"
    expect(server.call("GET", path)[0], 405)
    expect(server.call("GET", path)[1]["Allow"], "POST")
    expect(server.call("GET", "/nothing")[0], 404)
    expect(server.call("POST", path, "x=1", {"Content-Type": "application/x-www-form-urlencoded"})[0], 415)
    expect(server.call("POST", path, "[" * 100 + "]" * 100)[0], 400, "deep JSON")
    expect(server.call("POST", path, b'{"messages": "\xff\xfe"}')[0], 400, "invalid UTF-8")
    expect(server.call("POST", path, "[]")[0], 400)
    expect(server.call("POST", path, b" " * (5 << 20))[0], 413, "a large body")
    for body in ("", "{", '{"messages": 1}', "null", '{"messages": [{"role": "user", "content": "\\ud800"}]}'):
        status, _, error = server.call("POST", path, body)
        expect(status, 400, body)
        assert error["error"]["message"], error


def test_small_endpoints(server):
    expect(server.call("GET", "/")[2], {"message": "Server is running"})
    for path in ("/health", "/healthz"):
        expect(server.call("GET", path)[::2], (200, {"status": "Healthy"}))
    assert server.call("GET", "/version")[2]["version"]
    tokens = server.call("POST", "/tokenize", {"prompt": "Hello world"})[2]
    expect(tokens["count"], len(tokens["tokens"]))
    expect(server.call("POST", "/detokenize", {"tokens": tokens["tokens"]})[2], {"prompt": "Hello world"})
    text = server.call("GET", "/metrics")[2].decode()
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:prompt_tokens_total",
                 "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_bucket", "vllm:e2e_request_latency_seconds_sum"):
        assert name in text, name


def test_cancel_when_the_client_goes(server):
    for stream in (True, False):
        body = json.dumps({"messages": [{"role": "user", "content": "Count."}], "max_tokens": 1500, "ignore_eos": True,
                           "stream": stream}).encode()
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        server.wait_metric("vllm:num_requests_running", 1)
        if stream:
            connection.recv(1000)
        connection.close()
        server.wait_metric("vllm:num_requests_running", 0, limit=5)


def test_vanishing_and_slow_clients(server):
    for fragment in (b"", b"POST /chat HT", b"POST /chat HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
                     b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00"):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(fragment)
        connection.close()
    expect(server.call("GET", "/health")[0], 200)


def test_overload():
    server = Server(OPTIONS.model, "--parallel", "1", "--max-queue", "2", "--ctx-size", "512")
    try:
        results = []

        def one():
            results.append(server.call("POST", "/v1/chat/completions", {
                "messages": [{"role": "user", "content": "Count."}], "max_tokens": 60, "ignore_eos": True}))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [result for result in results if result[0] == 429]
        expect({result[0] for result in results}, {200, 429})
        assert len(refused) >= 4, f"{len(refused)} refused"
        assert int(refused[0][1]["Retry-After"]) >= 1
        expect(refused[0][2]["error"]["code"], "rate_limit_exceeded")
        expect(server.metric("kaito_ratelimit_rejected_total"), float(len(refused)))
    finally:
        expect(server.stop(), 0)


def test_graceful_stop():
    server = Server(OPTIONS.model, "--ctx-size", "512")
    stream = ask_any(server, max_tokens=24)
    first = next(iter(stream))
    server.process.send_signal(signal.SIGTERM)
    rest = list(stream)
    expect(rest[-1].choices[0].finish_reason, "length", "a running answer is finished")
    assert first is not None
    expect(server.stop(), 0)


def ask_any(server, **options):
    return server.sdk().chat.completions.create(model="", messages=[{"role": "user", "content": "Count."}], stream=True,
                                                extra_body={"ignore_eos": True}, **options)


def fails_to_start(*arguments):
    done = subprocess.run([OPTIONS.server, *arguments], capture_output=True, text=True, timeout=60, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    expect((done.returncode, len(errors)), (1, 1), done.stderr)
    return errors[0]


def test_bad_models():
    with tempfile.TemporaryDirectory() as folder:
        whole = os.path.getsize(OPTIONS.model)
        broken = os.path.join(folder, "broken.gguf")
        with open(OPTIONS.model, "rb") as source, open(broken, "wb") as target:
            target.write(source.read(whole // 2))
        message = fails_to_start("--model", broken, "--port", "0")
        assert "truncated" in message and str(whole) in message and str(whole // 2) in message, message
        message = fails_to_start("--model", folder, "--port", "0")
        assert "truncated" in message, message
        with open(os.path.join(folder, "second.gguf"), "w") as file:
            file.write("GGUF")
        assert "several .gguf files" in fails_to_start("--model", folder, "--port", "0")
        message = fails_to_start("--model", os.path.join(folder, "second.gguf"), "--port", "0")
        assert "cannot be loaded" in message, message
        assert "there is no model" in fails_to_start("--model", os.path.join(folder, "none.gguf"))
    expect(subprocess.run([OPTIONS.server, "--model", "x", "--novel"], capture_output=True, check=False).returncode, 2)


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert port in fails_to_start("--model", OPTIONS.model, "--host", "127.0.0.1", "--port", port)


def test_tiny_models():
    with tempfile.TemporaryDirectory() as folder:
        for family in ("phi3", "llama"):
            file = os.path.join(folder, family + ".gguf")
            subprocess.run([sys.executable, os.path.join(ROOT, "tests/support/make_tiny_gguf.py"), "--family", family, "--out", file],
                           check=True)
            server = Server(file)
            try:
                status, _, body = server.call("POST", "/chat", {"prompt": "Hello", "generate_kwargs": {"max_new_tokens": 12}})
                assert status == 200 and body["Result"], body
                answer = server.sdk().chat.completions.create(
                    model=family, messages=[{"role": "user", "content": "Hi"}], max_tokens=40,
                    response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["of", "the"]}}})
                assert json.loads(answer.choices[0].message.content) in ("of", "the"), answer
            finally:
                expect(server.stop(), 0)


def adapter_states(server):
    return {one["id"]: one["state"] for one in server.call("GET", "/v1/adapters")[2]["data"]}


def wait_adapters(server, revision, wanted, limit=30):
    end = time.monotonic() + limit
    while True:
        body = server.call("GET", "/v1/adapters")[2]
        if body["revision"] == revision and adapter_states(server) == wanted:
            return body
        assert time.monotonic() < end, f"{body}, not {wanted}, after {limit} s"
        time.sleep(0.05)


def test_adapters_change_while_answers_run():
    prompt = "The quick brown fox"

    def text(model):
        # Few tokens: what is computed beside them changes how sums are rounded, which shows late.
        return server.sdk().completions.create(model=model, prompt=prompt, max_tokens=12, temperature=0).choices[0].text

    with tempfile.TemporaryDirectory() as folder:
        listed = os.path.join(folder, "adapters.yaml")

        def follow(revision, *entries):
            with open(listed + ".new", "w") as file:
                json.dump({"revision": revision, "adapters": list(entries)}, file)
            os.rename(listed + ".new", listed)

        down = [("mlp.down_proj", 1536, 576)]
        one, two, other = (os.path.join(folder, name) for name in ("one", "two", "other"))
        make_adapter.write_adapter(one, 30, down, size=0.4, seed=1)
        make_adapter.write_adapter(two, 30, down, size=0.4, seed=2)
        make_adapter.write_adapter(other, 2, [("mlp.down_proj", 128, 64)])
        server = Server(OPTIONS.model, "--served-model-name", NAME, "--adapters-file", listed)
        try:
            base = text(NAME)
            running = server.sdk().completions.create(model=NAME, prompt=prompt, max_tokens=120, temperature=0,
                                                      stream=True, extra_body={"ignore_eos": True})
            streamed = next(running).choices[0].text
            follow("1", {"name": "one", "path": one})
            wait_adapters(server, "1", {"one": "loaded"})
            changed = text("one")
            assert changed != base, changed
            expect(text(NAME), changed, "the server's name means all adapters")
            expect(text(NAME + ":base"), base, "the base alone")
            streamed += "".join(chunk.choices[0].text for chunk in running)
            assert streamed.startswith(base), "an answer goes on with what it began with: " + streamed
            expect([model.id for model in server.sdk().models.list().data], [NAME, NAME + ":base", "one"])

            follow("2", {"name": "one", "path": one, "strength": "0.0"})
            wait_adapters(server, "2", {"one": "loaded"})
            expect(text("one"), base, "strength 0")

            follow("3", {"name": "one", "path": one}, {"name": "two", "path": two}, {"name": "other", "path": other})
            body = wait_adapters(server, "3", {"one": "loaded", "two": "loaded", "other": "failed"})
            assert "is 64 x 128 there, but 576 x 1536 in the base model" in body["data"][2]["message"], body
            expect(text("one"), changed, "the same adapter at its old strength")
            assert len({base, changed, text("two"), text(NAME)}) == 4, "each, and their sum, answers differently"
            try:
                text("other")
                raise AssertionError("an adapter that failed answered")
            except openai.NotFoundError as error:
                assert "64 x 128" in str(error), error
            expect(server.call("GET", "/health")[2],
                   {"status": "Healthy", "adapters": {"one": "loaded", "two": "loaded", "other": "failed"}})

            follow("4")
            wait_adapters(server, "4", {})
            expect(text(NAME), base, "without adapters")
            with open(listed, "w") as file:
                file.write("adapters: [{name: one}]")
            end = time.monotonic() + 10
            while "exactly one of image and path" not in server.call("GET", "/v1/adapters")[2]["error"]:
                assert time.monotonic() < end, "the mistake is not reported"
                time.sleep(0.05)
        finally:
            expect(server.stop(), 0)


def sample_texts(count):
    """Texts of many kinds: words, digits, marks, and any characters of Unicode that stand for themselves."""
    rng = random.Random(7)
    texts = ["Hello world", " two  spaces ", "a\n\nb\t c", "1234 5.678", "\u00bd\u00b2\u0664", "caf\u00e9 na\u00efve", "\u65e5\u672c\u8a9e",
             "\U0001f600!", "don't we'll", "<|im_end|> x <|im_start|>", "<|user|> a <|end|>", "x" * 300]
    for _ in range(count):
        texts.append("".join(rng.choice((chr(rng.randrange(32, 127)), chr(rng.randrange(0xa1, 0x250)),
                                         chr(rng.randrange(0x3041, 0x9fff)), rng.choice("  \n\t0123456789")))
                             for _ in range(rng.randrange(1, 30))))
    return [unicodedata.normalize("NFC", text) for text in texts]


def test_converted_models_keep_their_tokens():
    """GGUF -> Hugging Face folder -> GGUF: tokens of the server and of Hugging Face's own library agree."""
    import tokenizers  # pylint: disable=import-outside-toplevel
    kaito = os.path.join(os.path.dirname(os.path.abspath(OPTIONS.server)), "kaito")
    assert os.path.exists(kaito), f"{kaito} is not built"
    with tempfile.TemporaryDirectory() as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, os.path.join(ROOT, "tests", "support", "make_tiny_gguf.py"), "--family", "phi3",
                        "--context", "1024", "--out", tiny], check=True)
        for number, model in enumerate((OPTIONS.model, tiny)):
            directory, back = os.path.join(folder, f"hf{number}"), os.path.join(folder, f"back{number}.gguf")
            subprocess.run([kaito, "model", "convert", model, directory], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([kaito, "model", "convert", directory, back], check=True, stdout=subprocess.DEVNULL)
            library = tokenizers.Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
            server = Server(back, "--ctx-size", "1024")
            try:
                for text in sample_texts(300):
                    status, _, body = server.call("POST", "/tokenize", {"prompt": text, "add_special_tokens": False})
                    expect(status, 200)
                    # The server reads a user's markers as text; the library only without its added tokens.
                    if "<|" not in text:
                        expect(body["tokens"], library.encode(text, add_special_tokens=False).ids, repr(text))
            finally:
                expect(server.stop(), 0)


def main():
    tests = {name: value for name, value in globals().items() if name.startswith("test_") and callable(value)}
    wanted = [name for name in tests if not OPTIONS.names or name in OPTIONS.names]
    shared = None
    failed = 0
    for name in wanted:
        begun = time.monotonic()
        try:
            if tests[name].__code__.co_argcount:
                if shared is None:
                    shared = Server(OPTIONS.model, "--served-model-name", NAME, "--ctx-size", "2048", "--temperature", "0.2",
                                    "--top-p", "0.9")
                tests[name](shared)
            else:
                tests[name]()
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    if shared is not None and shared.stop() != 0:
        failed += 1
        print("FAIL the shared server did not stop with status 0\n" + shared.output()[-2000:])
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("names", nargs="*")
    OPTIONS = parser.parse_args()
    sys.exit(main())
