"""The table of what benchmark/on_gpu.sh measured, from the JSON files in its folder.

python benchmark/on_gpu_table.py out/on_gpu
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from depth_anything_ros.tools.timing import markdown

HEADING = ("model", "network sees", "way", "median (ms)", "of the roofline", "difference, mean")


def model_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what the engines did: the roofline is the rate of matrices of the same precision."""
    rates = found["machine"]["gflops"]
    yield ", ".join(
        f"{name}: {rate / 1000:.1f} TFLOP/s of matrices" for name, rate in rates.items()
    )
    rows = []
    for row in found["rows"]:
        if row["median_ms"] is None:
            continue
        rate = rates.get(row["way"].split()[-1])
        share = row["gflop"] / row["median_ms"] * 1e3 / rate if rate else None
        rows.append(
            (
                row["model"],
                f"{row['height']}x{row['width']}",
                row["way"],
                f"{row['median_ms']:.2f}",
                "" if share is None else f"{share:.0%}",
                f"{row['mean_difference']:.1e}",
            )
        )
    yield from markdown(HEADING, rows)


def scaling_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield how the time grows."""
    rows = [
        (row["of"], f"{size:g} {row['unit']}", f"{median_ms:.2f}")
        for row in found["rows"]
        for size, median_ms in zip(row["sizes"], row["median_ms"], strict=True)
    ]
    yield from markdown(("of", "size", "median (ms)"), rows)


def node_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield how many answers a second the node gave, how late, and its memory."""
    heading = ("picture", "network sees", "answers/s", "depth p50 (ms)", "p95", "memory (MB)")
    rows = []
    for row in found["rows"]:
        latency = row["latency_ms"]["depth/image_rect"] or {
            "p50": float("nan"),
            "p95": float("nan"),
        }
        rows.append(
            (
                f"{row['width']}x{row['height']}",
                str(row["input_size"] or "its own"),
                f"{row['answered']['depth/image_rect'] / row['seconds']:.1f}",
                f"{latency['p50']:.1f}",
                f"{latency['p95']:.1f}",
                f"{row['memory_mb']:.0f}",
            )
        )
    yield from markdown(heading, rows)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; a part without its file is named."""
    (folder,) = map(Path, sys.argv[1:] if words is None else words)
    missing = 0
    for name, lines in (("model", model_lines), ("scaling", scaling_lines), ("node", node_lines)):
        path = folder / f"{name}.json"
        print(f"\n## {name}\n")
        if path.is_file():
            print(*lines(json.loads(path.read_text())), sep="\n")
        else:
            missing += 1
            print(f"no {path.name}: see {name}.log")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
