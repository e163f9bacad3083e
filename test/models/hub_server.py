"""A hub on 127.0.0.1: what huggingface_hub asks of huggingface.co for one file, and no more."""

import hashlib

from file_server import COMMIT, serve_files


def serve(files):
    """Serve {"org/name:file": bytes}; see ``serve_files``."""
    paths = {name.replace(":", "/resolve/main/"): content for name, content in files.items()}
    return serve_files({f"/{path}": content for path, content in paths.items()})


def store(cache, repo, name, content, blob=None):
    """Put a file into a cache of the hub, laid out as huggingface_hub does."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    blob = folder / "blobs" / (blob or hashlib.sha256(content).hexdigest())
    for path, data in ((folder / "refs" / "main", COMMIT.encode()), (blob, content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    link = folder / "snapshots" / COMMIT / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link
