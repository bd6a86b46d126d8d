"""Headless Chromium for tests of pages: what a page looks like, what its elements measure, what it logs and asks for."""
import json
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import zlib

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


class Proxy:
    """Takes every connection that the browser makes to anywhere, and answers none."""

    def __enter__(self):
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    self.asked.append(connection.recv(4096).split(b"\r\n")[0].decode(errors="replace"))
                except OSError:
                    self.asked.append("a connection that said nothing")

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


class Page:
    """What one visit gave: `console` and `asked` are lines, `output` what Chromium printed."""

    def __init__(self, path, width, height, *flags, dark=False):
        with Proxy() as proxy, tempfile.TemporaryDirectory() as profile:
            result = subprocess.run(
                [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
                 "--disable-background-networking", "--disable-component-update", f"--proxy-server={proxy.address}",
                 "--proxy-bypass-list=<-loopback>", f"--user-data-dir={profile}", f"--window-size={width},{height}",
                 f"--blink-settings=preferredColorScheme={0 if dark else 1}", *flags, pathlib.Path(path).as_uri()],
                capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            self.asked = list(proxy.asked)
        if result.returncode != 0:
            raise RuntimeError(f"Chromium exited with {result.returncode}:\n{result.stderr}")
        self.output = result.stdout
        self.console = [line for line in result.stderr.splitlines() if "CONSOLE" in line or "Uncaught" in line]


def screenshot(page, picture, width, height, scale=1, dark=False):
    return Page(page, width, height, f"--screenshot={picture}", f"--force-device-scale-factor={scale}", dark=dark)


def measure(page, expression, width, height):
    """The value of a JavaScript expression in the page, whose own file needs no script: a copy gets one."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "measured.html"
        script = f"<script>document.body.setAttribute('data-measured', JSON.stringify({expression}))</script></body>"
        copy.write_text(pathlib.Path(page).read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
        dom = Page(copy, width, height, "--dump-dom").output
    found = re.search(r'data-measured="([^"]*)"', dom)
    return json.loads(found.group(1).replace("&quot;", '"').replace("&amp;", "&"))


class Picture:
    """A PNG of 8 bits a channel, not interlaced, as Chromium writes it. `pixel(x, y)` is (red, green, blue)."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        position, packed = 8, b""
        while position < len(data):
            length, kind = struct.unpack(">I4s", data[position:position + 8])
            body = data[position + 8:position + 8 + length]
            if kind == b"IHDR":
                self.width, self.height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
                assert (depth, interlaced) == (8, 0) and colour in (2, 6), "another kind of PNG"
                self.channels = 3 if colour == 2 else 4
            elif kind == b"IDAT":
                packed += body
            position += length + 12
        self.rows = self.unfiltered(zlib.decompress(packed))

    def unfiltered(self, raw):
        """PNG specification, section 9."""
        step, stride, rows = self.channels, self.width * self.channels, []
        above = bytearray(stride)
        for y in range(self.height):
            start = y * (stride + 1)
            kind, row = raw[start], bytearray(raw[start + 1:start + 1 + stride])
            if kind == 1:
                for i in range(step, stride):
                    row[i] = (row[i] + row[i - step]) & 255
            elif kind == 2:
                row = bytearray((a + b) & 255 for a, b in zip(row, above))
            elif kind == 3:
                for i in range(stride):
                    row[i] = (row[i] + ((row[i - step] if i >= step else 0) + above[i]) // 2) & 255
            elif kind == 4:
                for i in range(stride):
                    left, up, corner = (row[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
                    guess = left + up - corner
                    a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
                    row[i] = (row[i] + (left if a <= b and a <= c else up if b <= c else corner)) & 255
            rows.append(row)
            above = row
        return rows

    def pixel(self, x, y):
        return tuple(self.rows[y][x * self.channels:x * self.channels + 3])

    def colours(self, left, top, right, bottom):
        """{colour: pixels} inside a rectangle, which is cut to the picture."""
        counts = {}
        for y in range(max(0, int(top)), min(self.height, int(bottom))):
            for x in range(max(0, int(left)), min(self.width, int(right))):
                colour = self.pixel(x, y)
                counts[colour] = counts.get(colour, 0) + 1
        return counts
