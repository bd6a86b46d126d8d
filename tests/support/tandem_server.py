"""A tandemd of its own for an end-to-end test: a free port, a data directory that is kept over restarts."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ["TANDEM_BIN_DIR"])
MODEL_DIR = pathlib.Path(os.environ["TANDEM_TEST_MODEL_DIR"])


class Server:
    """`with Server() as server:` starts it; server.address is "127.0.0.1:PORT"."""

    def __init__(self, *flags):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tandem-e2e-"))
        self.flags = flags
        self.process = None

    def start(self, timeout=60):
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        self.log = open(self.folder / "tandemd.log", "ab")
        self.process = subprocess.Popen(
            [BIN / "tandemd", "--listen=127.0.0.1:0", f"--port-file={port_file}", f"--data-dir={self.folder / 'data'}",
             f"--model-import-dir={MODEL_DIR.parent}", *self.flags],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + timeout
        while not (port_file.exists() and port_file.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("tandemd did not start:\n" + self.log_text())
            time.sleep(0.02)
        self.address = port_file.read_text().strip()
        if ":" not in self.address:
            self.address = "127.0.0.1:" + self.address
        return self

    def stop(self, sig=signal.SIGTERM, timeout=60):
        self.process.send_signal(sig)
        code = self.process.wait(timeout)
        self.log.close()
        return code

    def log_text(self):
        return (self.folder / "tandemd.log").read_text(errors="replace")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        if kind:
            print("---- tandemd.log ----\n" + self.log_text()[-8000:])
        shutil.rmtree(self.folder, ignore_errors=True)
