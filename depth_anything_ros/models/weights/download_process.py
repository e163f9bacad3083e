"""The process that downloads one file: a script, which ``download`` starts and may kill.

It is run by its path, so that it imports nothing of this package (torch takes seconds). What it is
to do stands in its first argument, as JSON; it prints lines of JSON, each after its second
argument, which tells them from what libraries print: ``{"total": bytes}`` once that is known, and
then ``{"path": ...}``, or ``{"error": ..., "kind": ...}`` with the kind ``absent``
(there is no such file), ``refused`` (an answer that no honest server gives) or ``failed``.
"""

from __future__ import annotations

import _thread
import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

_TIMEOUT_S = 30.0  # of silence on a socket
_LEAVE_S = 2.0
_BLOCK = 1 << 16
_OUT_OF_RANGE = 416  # HTTP: a part that is as long as the whole, or longer
# What the hub's cache makes names of files and folders of. Its library takes any answer for them,
# and an ETag "/home/me/.bashrc" made it write there.
_ETAG = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,127}")
_COMMIT = re.compile(r"[0-9A-Za-z_-]{1,64}")


class RefusedError(Exception):
    """An answer that no honest server gives."""


def say(**words: Any) -> None:  # noqa: ANN401 - JSON
    """Tell the process that waits."""
    print(f"{sys.argv[2]}{json.dumps(words)}", flush=True)


# A file of the hub


def from_hub(repo: str, name: str, cache: str, endpoint: str) -> str:
    """Fetch a file into the hub's cache, by the hub's own library; return its path."""
    import huggingface_hub.file_download as library
    from huggingface_hub import hf_hub_download

    ask = library.get_hf_file_metadata

    def asked_once(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of any version
        """Check an answer before anything is named by it; and ask once, not for two minutes."""
        try:
            answer = ask(*arguments, **options)
        except Exception as error:  # of whichever HTTP library the hub's uses, and checked next
            check_names("", _commit_of(error), name)
            if _is_absent(error):
                raise
            raise ConnectionError(str(error) or type(error).__name__) from error
        check_names(answer.etag, answer.commit_hash, name)
        say(total=answer.size or 0)
        return answer

    library.get_hf_file_metadata = asked_once
    return hf_hub_download(repo, name, cache_dir=cache, endpoint=endpoint)


def check_names(etag: str | None, commit: str | None, name: str) -> None:
    """Refuse what cannot be part of a file's name in the cache.

    Raises:
        RefusedError: naming the header.
    """
    for header, value, rule in (("ETag", etag, _ETAG), ("X-Repo-Commit", commit, _COMMIT)):
        if value and not rule.fullmatch(value):
            raise RefusedError(
                f"the answer for {name} has the {header} {value[:100]!r}, of which the cache would "
                f"make the name of a file outside of it"
            )


def _commit_of(error: BaseException) -> str:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return str(headers.get("X-Repo-Commit") or "")


def _is_absent(error: BaseException) -> bool:
    """Say whether the hub answered that there is no such file: not that it was not reached."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    return isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)


# A file at an address of its own


def from_address(url: str, part: str) -> str:
    """Download what a part lacks of a file, or all of it where the file is another by now."""
    import urllib.error

    try:
        _download(url, Path(part))
    except urllib.error.HTTPError as error:
        if error.code != _OUT_OF_RANGE or not Path(part).is_file():
            raise
        Path(part).unlink()
        _download(url, Path(part))
    return part


def _download(url: str, part: Path) -> None:
    import urllib.request

    version = part.with_name(f"{part.name}.version")
    headers = {"User-Agent": "depth_anything_ros"}
    done = part.stat().st_size if part.is_file() and version.is_file() else 0
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": version.read_text()}
    request = urllib.request.Request(url, headers=headers)
    with closing(urllib.request.urlopen(request, timeout=_TIMEOUT_S)) as answer:
        start = f"bytes {done}-"
        if answer.status != 206:  # the whole file
            done = 0
        elif not answer.headers.get("Content-Range", start).startswith(start):
            part.unlink(missing_ok=True)  # so that the next time begins anew
            raise OSError(f"what came is not the part from byte {done} on that was asked for")
        _note_version(version, answer.headers)
        length = answer.length or 0  # as its library read it: None of what is no length
        total = done + length if length else 0
        say(total=total)
        with part.open("ab" if done else "wb", buffering=0) as file:
            while block := answer.read1(_BLOCK):
                done += file.write(block) or 0
    if done < total:
        raise OSError(f"{done} of {total} bytes came")
    version.unlink(missing_ok=True)


def _note_version(version: Path, headers: Any) -> None:  # noqa: ANN401 - of http.client
    """Keep what tells this version of the file from others; without it nothing can go on."""
    tag = headers.get("ETag", "")
    name = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    version.unlink(missing_ok=True)
    if name.isascii() and name.isprintable() and name:  # else it cannot be asked with
        version.write_text(name)


# The process


def _end_with_the_parent() -> None:
    """Leave once the other end of standard input is closed: the process that waits has ended."""
    sys.stdin.buffer.read()
    _thread.interrupt_main()  # so that parts are removed
    time.sleep(_LEAVE_S)
    os._exit(1)


def main(task: dict[str, Any]) -> None:
    """Do a task, and say how it ended."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        path = from_hub(**task) if "repo" in task else from_address(**task)
        say(path=path)
    except RefusedError as error:
        say(error=str(error), kind="refused")
    except Exception as error:  # whatever the hub's and the HTTP libraries raise: a line of it
        absent = "repo" in task and _is_absent(error)
        say(
            error=f"{error}" or type(error).__name__,
            kind="absent" if absent else "failed",
        )


if __name__ == "__main__":
    if sys.path and Path(sys.path[0]) == Path(__file__).parent:
        sys.path.pop(0)  # its modules have names that others' have too
    # Of a shell's background job it is ignored, which is inherited; here it is the word to leave.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(json.loads(sys.argv[1]))
