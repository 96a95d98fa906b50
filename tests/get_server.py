#!/usr/bin/env python3
"""A web server on 127.0.0.1 that misbehaves on request, for tests/get.bats.

get_server.py ROOT PORTFILE LOG: serves ROOT's files as /MODE/FILE, where MODE says how (see MODES
below), writes its port into PORTFILE and each request as a line "MODE FILE RANGE IFRANGE" into LOG.
It also answers as a proxy (absolute URLs): with 404, so that nothing leaves the machine.
It ends by itself: after 280 seconds, or when the process that started it is gone.
"""
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIFE = 280
ROOT, PORTFILE, LOG = sys.argv[1:4]
counts = {}
lock = threading.Lock()


def count(path):
    """How often this path was asked for before."""
    with lock:
        counts[path] = counts.get(path, 0) + 1
        return counts[path] - 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.close_connection = True
        mode, _, name = self.path.lstrip("/").partition("/")
        first = count(self.path)
        with lock, open(LOG, "a") as log:
            print(mode, name, self.headers.get("Range", "-"), self.headers.get("If-Range", "-"),
                  file=log)
        mode, _, number = mode.partition("-")
        try:
            if self.path.startswith("http:"):
                self.fail(404)
            elif mode.isdigit():
                self.fail(int(mode))
            elif mode not in MODES:
                self.fail(500)
            else:
                MODES[mode](self, name, first, int(number or 0))
        except (BrokenPipeError, ConnectionResetError):
            pass

    # ---- parts of an answer ----

    def head(self, code, **headers):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def fail(self, code, **headers):
        body = b"<html>no such luck</html>" if code != 304 else b""
        self.head(code, Content_Type="text/html", Content_Length=len(body), **headers)
        self.wfile.write(body)

    def data(self, name):
        path = os.path.normpath(os.path.join(ROOT, name.partition("?")[0]))
        if not path.startswith(ROOT) or not os.path.isfile(path):
            self.fail(404)
            raise BrokenPipeError
        with open(path, "rb") as f:
            return f.read()

    def asked(self, size):
        """First byte that the request wants."""
        value = self.headers.get("Range", "")
        return int(value[len("bytes="):].split("-")[0]) if value.startswith("bytes=") else 0

    def serve(self, data, ranges=True, tag=None, date=None, stop=None, length=None, pause=0):
        """An honest answer, but for `stop` (bytes until it breaks off) and `length` (claimed)."""
        headers = {"Content_Type": "application/octet-stream"}
        if tag:
            headers["ETag"] = tag
        if date:
            headers["Last_Modified"] = date
        start = self.asked(len(data)) if ranges else 0
        condition = self.headers.get("If-Range")
        if condition and condition not in (tag, date):
            start = 0
        if start and start >= len(data):
            self.head(416, Content_Range="bytes */%d" % len(data), Content_Length=0)
            return
        body = data[start:]
        headers["Content_Length"] = len(body) if length is None else length
        if start:
            headers["Content_Range"] = "bytes %d-%d/%d" % (start, len(data) - 1, len(data))
        self.head(206 if start else 200, **headers)
        for i in range(0, len(body[:stop]), 20000):
            self.wfile.write(body[:stop][i:i + 20000])
            time.sleep(pause)

    # ---- the modes: (name, requests for this path before, number behind the mode's dash) ----

    def ok(self, name, first, number):
        self.serve(self.data(name), tag='"v1"')

    def slow(self, name, first, number):
        self.serve(self.data(name), tag='"v1"', pause=0.05)

    def date(self, name, first, number):
        self.serve(self.data(name), date="Mon, 01 Oct 2018 00:00:00 GMT", stop=number or None)

    def plain(self, name, first, number):  # knows no ranges
        self.serve(self.data(name), ranges=False, stop=None if first else number)

    def bare(self, name, first, number):  # ranges, but nothing to recognise the file by
        self.serve(self.data(name), stop=None if first else number)

    def breaks(self, name, first, number):  # every answer ends after so many bytes
        self.serve(self.data(name), tag='"v1"', stop=number)

    def weak(self, name, first, number):
        self.serve(self.data(name), tag='W/"v1"', stop=None if first else number)

    def short(self, name, first, number):  # a file cut short, honestly framed
        data = self.data(name)
        self.serve(data[:len(data) // 2])

    def long(self, name, first, number):  # claims more than it sends
        data = self.data(name)
        self.serve(data, tag='"v1"', length=len(data) - self.asked(len(data)) + 1000)

    def more(self, name, first, number):  # goes on behind the file's end, and does not say how long
        self.head(200, Content_Type="application/octet-stream")
        self.wfile.write(self.data(name))
        for _ in range(200):
            self.wfile.write(bytes(65536))

    def wrong(self, name, first, number):  # the right length, another byte
        data = bytearray(self.data(name))
        data[len(data) // 2] ^= 1
        self.serve(bytes(data))

    def html(self, name, first, number):
        self.fail(200)

    def page(self, name, first, number):  # a page that does not say that it is one
        body = b"\n<!DOCTYPE html><p>Please log in"
        self.head(200, Content_Type="application/gzip", Content_Length=len(body))
        self.wfile.write(body)

    def empty(self, name, first, number):
        self.head(200, Content_Length=0)

    def flaky(self, name, first, number):  # so many errors, then the file
        if first < number:
            self.fail(500)
        else:
            self.ok(name, first, number)

    def busy(self, name, first, number):  # asks for a pause of a second, once
        if first == 0:
            self.fail(503, Retry_After=1)
        else:
            self.ok(name, first, number)

    def stall(self, name, first, number):  # falls silent; from the second request on it is honest
        data = self.data(name)
        if first and number:
            self.serve(data, tag='"v1"')
            return
        self.head(200, ETag='"v1"', Content_Length=len(data))
        self.wfile.write(data[:1000])
        self.wfile.flush()
        self.connection.settimeout(20)
        try:
            self.rfile.read(1)  # until the client gives up
        except OSError:
            pass

    def loop(self, name, first, number):
        self.fail(302, Location=self.path)

    def hop(self, name, first, number):
        self.fail(302, Location="/ok/" + name)

    def local(self, name, first, number):  # wants the client to read its own files
        self.fail(302, Location="file://" + os.path.join(ROOT, name))

    def ftp(self, name, first, number):
        self.fail(302, Location="ftp://127.0.0.1:1/" + name)

    def changed(self, name, first, number):  # replaced between two requests
        old = bytes(len(self.data(name)))
        if first == 0:
            self.serve(old, tag='"old"', stop=number)
        else:
            self.serve(self.data(name), tag='"new"')

    def mixed(self, name, first, number):  # the same, by a server that takes no notice of If-Range
        del self.headers["If-Range"]
        self.changed(name, first, number)

    def shifted(self, name, first, number):  # answers a range with another range
        data = self.data(name)
        start = self.asked(len(data))
        if start == 0:
            self.serve(data, tag='"v1"', stop=number if first == 0 else None)
            return
        self.head(206, Content_Length=len(data) - 10, ETag='"v1"',
                  Content_Range="bytes 10-%d/%d" % (len(data) - 1, len(data)))
        self.wfile.write(data[10:])


MODES = {name: getattr(Handler, name) for name in
         ("ok slow date plain bare breaks weak short long more wrong html page empty flaky busy "
          "stall loop hop local ftp changed mixed shifted").split()}


def watch(parent):
    end = time.monotonic() + LIFE
    while time.monotonic() < end and os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with open(PORTFILE + ".new", "w") as f:
        print(server.server_port, file=f)
    os.rename(PORTFILE + ".new", PORTFILE)
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    server.serve_forever()


main()
