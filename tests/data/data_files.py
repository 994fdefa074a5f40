"""Small files in the formats of published data sets, and a server of files with faults."""

import gzip
import io
import struct
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def random_bytes(count, *shape):
    """Return an array of ``count`` random arrays of bytes, the same at every call."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def idx_file(array):
    """Return an array of bytes as the content of a gzipped idx file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), 1, mtime=0)


def fashion_files(train=7, test=5):
    """Return the four files of Fashion-MNIST, by name; labels run through all classes in turn."""
    files = {}
    for stem, count in (("train", train), ("t10k", test)):
        files[f"{stem}-images-idx3-ubyte.gz"] = idx_file(random_bytes(count, 4, 6))
        files[f"{stem}-labels-idx1-ubyte.gz"] = idx_file(np.arange(count, dtype=np.uint8) % 10)
    return files


def tar_file(members):
    """Return the content of a gzipped tar archive with these members, given by name."""
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


def files_in(folder):
    """Return all files in a folder and below."""
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def served(files, sent_bytes=None, stalls=False):
    """Serve files, by name, on this machine; yield the address of their folder.

    sent_bytes: how much of each file is sent, whatever length is announced.  stalls: whether the
    connection then stays open, with nothing more coming.
    """
    finished = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path.removeprefix("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent_bytes])
            self.wfile.flush()
            if stalls:
                finished.wait(60)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        finished.set()
        server.shutdown()
        thread.join()
        server.server_close()
