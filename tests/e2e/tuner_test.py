#!/usr/bin/env python3
"""Drives kaito-tuner as a Job does, with a tiny generated model: results, kills, faults, fetching.

    tuner_test.py --tuner FILE [test name...]

Needs Python 3.8 and openssl only; network on loopback only.
"""

import argparse
import ctypes
import http.server
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TUNER = None
LIMIT = 120  # Seconds that one run may take.

CONFIG = """
training_config:
  QuantizationConfig: {load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_compute_dtype: bfloat16}
  LoraConfig: {r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: all-linear}
  TrainingArguments: {per_device_train_batch_size: 2, num_train_epochs: EPOCHS, learning_rate: RATE, warmup_steps: 5}
  DatasetConfig: {train_test_split: 1}
"""


def rows(count):
    words = "river light stone water house music garden letter number morning paper winter".split()
    chance = random.Random(7)
    for _ in range(count):
        yield {"messages": [{"role": "user", "content": " ".join(chance.choices(words, k=chance.randint(1, 9)))},
                            {"role": "assistant", "content": " ".join(chance.choices(words, k=5))}]}


class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="tuner-test-"))
        cls.model = cls.shared / "tiny.gguf"
        subprocess.run([sys.executable, str(ROOT / "tests/support/make_tiny_gguf.py"), "--family", "llama",
                        "--out", str(cls.model)], check=True)
        Fixture.bigger = cls.model

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.shared))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.output = self.folder / "out"
        self.config = self.folder / "training_config.yaml"
        self.write_config()
        self.write_rows(list(rows(24)))

    def write_config(self, epochs=2, rate="1.0e-3", text=CONFIG):
        self.config.write_text(text.replace("EPOCHS", str(epochs)).replace("RATE", rate))

    def write_rows(self, data, name="rows.jsonl"):
        (self.data / name).write_text("".join(json.dumps(row) + "\n" for row in data))

    def command(self, *extra, output=None):
        return [TUNER, "--model", str(self.model), "--config", str(self.config), "--data-dir", str(self.data),
                "--output-dir", str(output or self.output), "--no-status-server", "--progress", "json",
                "--log-format", "text", *extra]

    def run_tuner(self, *extra, output=None, env=None):
        return subprocess.run(self.command(*extra, output=output), capture_output=True, text=True, timeout=LIMIT,
                              env={**os.environ, "NO_PROXY": "", "HTTPS_PROXY": "", "HTTP_PROXY": "", **(env or {})})

    def expect(self, code, *texts, extra=(), env=None):
        done = self.run_tuner(*extra, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        return done

    def adapter(self, output=None):
        return ((output or self.output) / "adapter_model.safetensors").read_bytes()


class Results(Fixture):
    def test_writes_what_the_pusher_and_peft_expect(self):
        self.expect(0)
        config = json.loads((self.output / "adapter_config.json").read_text())
        self.assertEqual((config["peft_type"], config["r"], config["lora_alpha"]), ("LORA", 4, 8))
        self.assertIn("library_name: peft", (self.output / "README.md").read_text())
        self.assertRegex((self.output / "fine_tuning_completed.txt").read_text(),
                         r"^Fine-Tuning completed at \d{4}(-\d\d){5}\n$")
        log = [json.loads(line) for line in (self.output / "training_log.jsonl").read_text().splitlines()]
        self.assertEqual([line["step"] for line in log], list(range(1, 25)))
        self.assertLess(log[-1]["smoothedLoss"], log[0]["loss"])
        self.assertFalse(list(self.output.glob(".resume-*")))

    def test_progress_is_json_lines(self):
        lines = [json.loads(line) for line in self.expect(0).stdout.splitlines()]
        self.assertEqual(lines[-1]["phase"], "completed")
        self.assertEqual((lines[-1]["step"], lines[-1]["totalSteps"]), (24, 24))

    def test_a_finished_run_is_not_repeated(self):
        self.expect(0)
        before = (self.output / "adapter_model.safetensors").stat().st_mtime_ns
        self.expect(0, "completed before")
        self.assertEqual((self.output / "adapter_model.safetensors").stat().st_mtime_ns, before)
        self.write_config(rate="2.0e-3")
        self.expect(0)
        self.assertNotEqual((self.output / "adapter_model.safetensors").stat().st_mtime_ns, before)

    def test_rows_kept_apart_are_evaluated_and_folders_saved(self):
        self.write_config(epochs=3, text=CONFIG.replace("train_test_split: 1", "train_test_split: 0.75")
                          .replace("warmup_steps: 5", "save_strategy: epoch, eval_strategy: epoch"))
        self.expect(0)
        log = (self.output / "training_log.jsonl").read_text()
        self.assertEqual(log.count("evaluationLoss") > 0, True)
        self.assertEqual(sorted(path.name for path in self.output.glob("checkpoint-*")), ["checkpoint-18", "checkpoint-27"])
        self.assertTrue((self.output / "checkpoint-27" / "adapter_model.safetensors").exists())

    def test_draws_the_loss_curve(self):
        self.expect(0)
        done = subprocess.run([TUNER, "plot", str(self.output)], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("<polyline", (self.output / "loss.svg").read_text())

    def test_serves_metrics_while_it_trains(self):
        self.write_config(epochs=2000)
        command = [word for word in self.command() if word != "--no-status-server"]
        run = subprocess.Popen(command + ["--host", "127.0.0.1", "--port", "0"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
        try:
            port = None
            while port is None:
                line = run.stderr.readline()
                self.assertTrue(line, "the tuner ended early")
                if "port=" in line:
                    port = int(line.split("port=")[1])
            deadline = time.monotonic() + 20
            while True:
                metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
                if 'kaito_tuner_phase{phase="training"} 1' in metrics and "kaito_tuner_step 0" not in metrics:
                    break
                self.assertLess(time.monotonic(), deadline, metrics)
                time.sleep(0.05)
            self.assertIn("kaito_tuner_steps 24000", metrics)
            progress = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5))
            self.assertGreater(progress["step"], 0)
        finally:
            run.terminate()
            run.communicate(timeout=LIMIT)
        self.assertEqual(run.returncode, 143)


    def test_takes_the_template_of_the_method_without_a_configuration(self):
        self.config.unlink()
        done = self.expect(0, "template of the method", extra=["--method", "QLoRA", "--preset", "phi-3-mini-128k-instruct"])
        self.assertIn("modules=14", done.stderr)
        self.config = self.folder / "absent.yaml"
        self.expect(2, "absent.yaml")


class HuggingFaceFolders(Fixture):
    TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
                "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

    def folder_of(self, family):
        golden = ROOT / "tests/golden/tuning" / family
        folder = self.folder / family
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(golden / name, folder / name)
        texts = [chr(code) for code in range(33, 127)] + ["\u0120", "\u010a"]
        vocabulary = {text: place for place, text in enumerate(texts)}
        added = [{"id": len(texts) + place, "content": text, "special": True}
                 for place, text in enumerate(["<|im_start|>", "<|im_end|>"])]
        (folder / "tokenizer.json").write_text(json.dumps(
            {"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
             "added_tokens": added}))
        (folder / "tokenizer_config.json").write_text(json.dumps(
            {"bos_token": None, "eos_token": "<|im_end|>", "chat_template": self.TEMPLATE}))
        return folder

    def test_every_family_is_tuned(self):
        self.write_config(text=CONFIG.replace("num_train_epochs: EPOCHS", "max_steps: 3"))
        for family in ("llama", "mistral", "qwen2", "phi3"):
            with self.subTest(family):
                self.model = self.folder_of(family)
                self.output = self.folder / f"out-{family}"
                self.expect(0, "safetensors")
                self.assertTrue((self.output / "adapter_model.safetensors").exists())

    def test_a_folder_without_a_tokenizer(self):
        self.model = self.folder_of("llama")
        (self.model / "tokenizer.json").unlink()
        self.expect(2, "tokenizer.json")

    def test_a_vocabulary_of_another_model(self):
        self.model = self.folder_of("llama")
        self.expect(2, "do not belong together", extra=["--tokenizer", str(Fixture.bigger)])


class Examples(unittest.TestCase):
    def test_the_manifest_holds_the_rows_and_settings_of_the_folder(self):
        manifest = (ROOT / "examples/quickstart/tuning.yaml").read_text()
        for name in ("train.jsonl", "training_config.yaml"):
            text = (ROOT / "examples/quickstart/teach" / name).read_text()
            block = "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
            self.assertIn(f"  {name}: |\n{block}", manifest)


class Kills(Fixture):
    def test_killed_at_any_step_it_gives_the_same_adapter(self):
        self.write_config(epochs=40)
        whole = self.folder / "whole"
        self.assertEqual(self.run_tuner(output=whole).returncode, 0)
        kills = 0
        chance = random.Random(3)
        for _ in range(12):
            run = subprocess.Popen(self.command("--checkpoint-seconds", "0"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            try:
                run.wait(timeout=chance.uniform(0.05, 0.5))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                kills += 1
        self.assertEqual(self.run_tuner("--checkpoint-seconds", "0").returncode, 0)
        self.assertGreater(kills, 0)
        self.assertEqual(self.adapter(), self.adapter(whole))
        steps = [json.loads(line)["step"] for line in (self.output / "training_log.jsonl").read_text().splitlines()]
        self.assertEqual(steps, list(range(1, 481)))

    def test_sigterm_leaves_a_checkpoint(self):
        self.write_config(epochs=60)
        whole = self.folder / "whole"
        self.assertEqual(self.run_tuner(output=whole).returncode, 0)
        run = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while '"phase":"training"' not in run.stdout.readline():
            pass
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=LIMIT)
        if run.returncode != 0:  # It may have been quicker than the signal.
            self.assertEqual(run.returncode, 143, errors)
            self.assertTrue(list(self.output.glob(".resume-*")))
            self.assertFalse((self.output / "fine_tuning_completed.txt").exists())
            self.expect(0, "going on from a checkpoint")
        self.assertEqual(self.adapter(), self.adapter(whole))

    def test_a_damaged_checkpoint_is_not_used(self):
        self.write_config(epochs=60)
        run = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while '"phase":"training"' not in run.stdout.readline():
            pass
        run.terminate()
        run.communicate(timeout=LIMIT)
        files = list(self.output.glob(".resume-*"))
        if not files:
            self.skipTest("the run was quicker than the signal")
        damaged = bytearray(files[0].read_bytes())
        damaged[len(damaged) // 2] ^= 0x40
        files[0].write_bytes(bytes(damaged))
        self.expect(0, "training starts anew")


class Faults(Fixture):
    def test_a_misspelled_key(self):
        self.write_config(text=CONFIG.replace("lora_alpha", "lora_alfa"))
        self.expect(2, "LoraConfig.lora_alfa: unknown key; did you mean lora_alpha?")

    def test_a_method_that_the_configuration_contradicts(self):
        self.expect(2, "--method lora", extra=["--method", "lora"])

    def test_modules_that_the_model_lacks(self):
        self.write_config(text=CONFIG.replace("all-linear", "[query_key_value]"))
        self.expect(2, "query_key_value", "q_proj")

    def test_a_model_that_is_not_there(self):
        self.model = "/nowhere"
        self.expect(2, "there is no model at /nowhere")

    def test_a_bad_row(self):
        (self.data / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": 5}]}\n')
        self.expect(3, "rows.jsonl: row 1 (line 1), column messages[0].content: expected text, found number")

    def test_columns_that_nothing_explains(self):
        self.write_rows([{"question": "a", "answer": "b"}])
        self.expect(3, "there are question, answer", "context_column")

    def test_an_empty_set_and_no_file(self):
        self.write_rows([])
        self.expect(3, "the file is empty")
        (self.data / "rows.jsonl").unlink()
        self.expect(3, "there is no file in")

    def test_a_row_longer_than_the_context(self):
        long = {"messages": [{"role": "user", "content": "river " * 20000}, {"role": "assistant", "content": "stone"}]}
        self.write_rows(list(rows(4)) + [long])
        self.expect(0, "lose their end", "first=5")

    def test_too_little_memory(self):
        self.expect(4, "MiB are free", extra=["--memory-mib", "1"])

    def test_a_learning_rate_that_destroys(self):
        self.write_config(epochs=20, rate="9")
        self.expect(5, "learning_rate")
        self.assertFalse((self.output / "fine_tuning_completed.txt").exists())

    def test_a_disk_that_cannot_be_written(self):
        self.output = pathlib.Path("/proc/nowhere")
        self.expect(1, "/proc/nowhere")

    def test_a_parquet_file_without_the_library(self):
        (self.data / "rows.jsonl").unlink()
        (self.data / "rows.parquet").write_bytes(b"PAR1....PAR1")
        self.expect(3, "--duckdb-library", extra=["--duckdb-library", "/nowhere/libduckdb.so"])


class Parquet(Fixture):
    """With DuckDB's library, which third_party/duckdb/fetch gets; it also writes the files."""

    def setUp(self):
        super().setUp()
        (self.data / "rows.jsonl").unlink()
        cache = os.environ.get("KAITO_CACHE_DIR") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "kaito-cpp")
        self.library = os.path.join(cache, "duckdb-1.4.4-r.4", "libduckdb.so")
        if not os.path.exists(self.library):
            self.skipTest("run third_party/duckdb/fetch first")

    def write(self, select):
        duckdb = ctypes.CDLL(self.library)
        database, connection = ctypes.c_void_p(), ctypes.c_void_p()
        self.assertEqual(duckdb.duckdb_open(None, ctypes.byref(database)), 0)
        self.assertEqual(duckdb.duckdb_connect(database, ctypes.byref(connection)), 0)
        query = f"COPY ({select}) TO '{self.data}/train.parquet' (FORMAT parquet, COMPRESSION zstd)"
        self.assertEqual(duckdb.duckdb_query(connection, query.encode(), None), 0, query)
        duckdb.duckdb_disconnect(ctypes.byref(connection))
        duckdb.duckdb_close(ctypes.byref(database))

    def test_trains_on_conversations_as_the_guides_set_has_them(self):
        self.write("SELECT [{'role': 'user', 'content': 'river ' || i}, {'role': 'assistant', 'content': 'stone'}] "
                   "AS messages FROM range(3000) t(i)")
        self.write_config(text=CONFIG.replace("num_train_epochs: EPOCHS", "max_steps: 5"))
        self.expect(0, "rows=3000", extra=["--duckdb-library", self.library])

    def test_names_the_row_that_is_bad(self):
        self.write("SELECT [{'role': 'user', 'content': CASE WHEN i = 2500 THEN NULL ELSE 'x' END}] AS messages "
                   "FROM range(3000) t(i)")
        self.expect(3, "train.parquet: row 2501, column messages[0].content: missing or null",
                    extra=["--duckdb-library", self.library])

    def test_says_when_the_file_is_damaged(self):
        self.write("SELECT 'river ' || i AS text FROM range(3000) t(i)")
        file = self.data / "train.parquet"
        content = bytearray(file.read_bytes())
        content[100:400] = bytes(300)
        file.write_bytes(bytes(content))
        self.expect(3, "train.parquet: ", extra=["--duckdb-library", self.library])


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/page"):
            self.answer(200, b"<!DOCTYPE html><html></html>", "text/html")
        elif self.path.startswith("/missing"):
            self.answer(404, b"no")
        elif self.path.startswith("/metadata"):
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
        else:
            self.answer(200, "".join(json.dumps(row) + "\n" for row in rows(8)).encode())

    def answer(self, status, body, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers CONNECT to any name by connecting to the one server of the test."""
    target = None
    asked = []

    def do_CONNECT(self):
        Proxy.asked.append(self.path)
        with socket.create_connection(Proxy.target) as server:
            self.send_response(200)
            self.end_headers()
            while True:
                ready, _, _ = select.select([self.connection, server], [], [], 10)
                if not ready:
                    return
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        return
                    (server if side is self.connection else self.connection).sendall(data)

    def log_message(self, *_):
        pass


class Fetching(Fixture):
    def serve(self, handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def setUp(self):
        super().setUp()
        (self.data / "rows.jsonl").unlink()

    def test_fetches_and_trains(self):
        port = self.serve(Answers).server_port
        self.expect(0, extra=["--url", f"http://127.0.0.1:{port}/set/rows.jsonl?download=true"])
        self.assertTrue((self.data / "rows.jsonl").exists())
        sources = json.loads((self.data / ".sources.json").read_text())
        self.assertEqual(len(sources[0]["sha256"]), 64)

    def test_takes_urls_from_the_environment_as_the_job_does(self):
        port = self.serve(Answers).server_port
        urls = f"http://127.0.0.1:{port}/a.jsonl http://127.0.0.1:{port}/b.jsonl"
        done = subprocess.run([TUNER, "fetch", "--data-dir", str(self.data), "--log-format", "text"],
                              capture_output=True, text=True, timeout=LIMIT,
                              env={**os.environ, "DATA_URLS": urls, "NO_PROXY": "127.0.0.1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(path.name for path in self.data.glob("*.jsonl")), ["a.jsonl", "b.jsonl"])

    def test_says_what_came_instead_of_data(self):
        port = self.serve(Answers).server_port
        self.expect(3, "HTML page", extra=["--url", f"http://127.0.0.1:{port}/page.json"])
        self.expect(3, "answered 404", extra=["--url", f"http://127.0.0.1:{port}/missing.json"])
        self.expect(3, "169.254.169.254", extra=["--url", f"http://127.0.0.1:{port}/metadata.json"])

    def test_goes_through_a_companys_proxy_and_trusts_its_authority(self):
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out",
                "request.pem", "-subj", "/CN=data.example")
        (self.folder / "names").write_text("subjectAltName=DNS:data.example\n")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                "cert.pem", "-days", "2", "-extfile", "names")
        server = self.serve(Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Proxy.target, Proxy.asked = ("127.0.0.1", server.server_port), []
        proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{self.serve(Proxy).server_port}"}
        url = ["--url", "https://data.example/rows.jsonl?download=true"]
        self.expect(3, "fetching https://data.example/rows.jsonl", extra=url, env=proxy)
        self.expect(0, extra=url + ["--extra-ca-file", str(self.folder / "ca.pem")], env=proxy)
        self.assertIn("data.example:443", Proxy.asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuner", required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    TUNER = str(pathlib.Path(arguments.tuner).resolve())
    outcome = unittest.main(argv=[sys.argv[0], *arguments.names], verbosity=1, exit=False).result
    bad = len(outcome.failures) + len(outcome.errors)
    print(f"{outcome.testsRun - bad - len(outcome.skipped)} passed, {bad} failed")
    sys.exit(bad != 0)
