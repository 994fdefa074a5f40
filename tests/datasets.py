"""Small files in the formats of published data sets, and a server of files with faults."""

import gzip
import io
import struct
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def idx(array):
    """Return an array of bytes as a gzipped idx file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), 1, mtime=0)


def numbered(count, *shape):
    """Return that many arrays of bytes; no two of them, and no two axes, are alike."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def fashion_files(train=7, test=5, prefix=""):
    """Return a set's four files by name; labels run through all classes in turn."""
    files = {}
    for split, count in (("train", train), ("t10k", test)):
        files[f"{prefix}{split}-images-idx3-ubyte.gz"] = idx(numbered(count, 4, 6))
        labels = np.arange(count, dtype=np.uint8) % 10
        files[f"{prefix}{split}-labels-idx1-ubyte.gz"] = idx(labels)
    return files


def archive(members):
    """Return a gzipped tar archive with these members, given by name."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def cifar_records(labels, pixels):
    """Return CIFAR's binary records: labels, then all of red, green and blue."""
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    return np.concatenate([labels, planes], axis=1).astype(np.uint8).tobytes()


def write(folder, files):
    """Write files by name, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@contextmanager
def served(files, sent=None, stalls=False):
    """Serve files, by name, on this machine; yield the address of their folder.

    sent: how many bytes of each are sent, of the number that is announced.  stalls: whether the
    connection then stays open, with nothing more coming.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path.removeprefix("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent])
            self.wfile.flush()
            if stalls:
                over.wait(60)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
