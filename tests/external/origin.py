"""An HTTP origin inside the test: ranges, a validator, a gate per path, and an event at a byte count.

Refuses to fail by itself: it is the link that the tests cut.
"""

import http.server
import threading

PIECE_BYTES = 16 << 10


class Origin:
    """Serves bytes from memory on a free port of the loopback address."""

    def __init__(self, log_path):
        self.files = {}
        self.requests = []
        self.sent_bytes = 0
        self._alarms = []
        self._gates = {}
        self._changed = threading.Condition()
        self._log = open(log_path, "w", encoding="utf-8", buffering=1)
        handler = type("Handler", (_Handler,), {"origin": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def put(self, path, data):
        self.files["/" + path] = data
        return f"{self.url(path)}#size={len(data)}"

    def gate(self, path, after_bytes=0):
        """Answers for this path stop after so many bytes until the gate is opened."""
        gate = self._gates["/" + path] = (after_bytes, threading.Event(), threading.Event())
        return gate

    def wait_at_gate(self, path, seconds=30):
        assert self._gates["/" + path][2].wait(seconds), f"nobody asked for {path}"

    def open_gate(self, path):
        self._gates["/" + path][1].set()

    def alarm(self, bytes, call):
        """Calls once, from a thread of the server, when so many more bytes were sent."""
        with self._changed:
            self._alarms.append((self.sent_bytes + bytes, call))

    def forget_alarms(self):
        with self._changed:
            self._alarms.clear()

    def note_sent(self, count):
        with self._changed:
            self.sent_bytes += count
            due = [call for at, call in self._alarms if self.sent_bytes >= at]
            self._alarms = [(at, call) for at, call in self._alarms if self.sent_bytes < at]
        for call in due:
            call()

    def note_request(self, path, range, sent):
        with self._changed:
            self.requests.append((path, range, sent))
            if not self._log.closed:
                self._log.write(f"{path} {range or '-'} {sent}\n")

    def close(self):
        for _, opened, _ in self._gates.values():
            opened.set()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def gate_of(self, path):
        return self._gates.get(path)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin = None

    def log_message(self, *_):
        """The origin's own log is kept instead."""

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self):
        data = self.origin.files.get(self.path)
        if data is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, end = 0, len(data)
        range = self.headers.get("Range")
        etag = f'"{len(data):x}-{hash(data) & 0xFFFFFFFF:x}"'
        condition = self.headers.get("If-Range")
        if range and condition in (None, etag):
            first, _, last = range.removeprefix("bytes=").partition("-")
            start = int(first)
            end = min(int(last) + 1, len(data)) if last else len(data)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        at = start
        try:
            while at < end:
                gate = self.origin.gate_of(self.path)
                stop = min(at + PIECE_BYTES, end)
                if gate and not gate[1].is_set():
                    if at - start >= gate[0]:
                        self.wfile.flush()
                        gate[2].set()
                        gate[1].wait(60)
                    else:
                        stop = min(stop, start + gate[0])
                self.wfile.write(data[at:stop])
                self.origin.note_sent(stop - at)
                at = stop
        except OSError:
            self.close_connection = True
        finally:
            self.origin.note_request(self.path, range, at - start)
