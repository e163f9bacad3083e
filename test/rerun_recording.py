"""What a .rrd file of Rerun holds, read by Rerun's own reader."""

from collections import defaultdict

import numpy as np
from rerun.chunk import RrdReader


class Recorded:
    """The rows of a recording, by entity.

    Attributes:
        rows: by entity, the stamp (ns; None of what is static) and the values by component.
        views: of the last layout, the class and the name of each, in any order.
    """

    def __init__(self, path):
        reader = RrdReader(path)
        (store,) = reader.recordings()
        self.application = store.application_id
        self.rows = defaultdict(list)
        for chunk in reader.stream(store=store):
            stamps = stamps_of(chunk)
            for stamp, row in zip(stamps, rows_of(chunk), strict=True):
                kept = {k.partition(":")[2]: v for k, v in row.items() if ":" in k}
                self.rows[chunk.entity_path].append((stamp, kept))
        self.views = self._views(reader) if reader.blueprints() else set()

    @staticmethod
    def _views(reader):
        layouts = [
            [row for chunk in reader.stream(store=one) for row in rows_of(chunk)]
            for one in reader.blueprints()
        ]
        last = max(layouts, key=lambda rows: max(r["log_time"] for r in rows if "log_time" in r))
        found = [row for row in last if "ViewBlueprint:class_identifier" in row]
        return {
            (row["ViewBlueprint:class_identifier"][0], row["ViewBlueprint:display_name"][0])
            for row in found
        }

    def static(self, entity):
        """The newest static values of an entity, one of each component."""
        merged = {}
        for stamp, values in self.rows[entity]:
            if stamp is None:
                merged |= {name: value[0] for name, value in values.items() if value}
        return merged

    def at(self, entity, stamp):
        """The values of an entity at a stamp."""
        (found,) = [values for one, values in self.rows[entity] if one == stamp]
        return found

    def stamps(self, entity):
        return sorted(stamp for stamp, _ in self.rows[entity] if stamp is not None)

    def depth(self, entity, stamp):
        """The depth image at a stamp, with its number of units in a metre."""
        values = self.at(entity, stamp)
        (form,) = values["format"]
        raw = np.frombuffer(bytes(values["buffer"][0]), np.float32)
        return raw.reshape(form["height"], form["width"]), values["meter"][0]

    def points(self, entity, stamp):
        """Points (N, 3) and colours (N, 3) at a stamp."""
        values = self.at(entity, stamp)
        rgba = np.array(values["colors"], np.uint32)
        colours = np.stack([rgba >> shift & 255 for shift in (24, 16, 8)], axis=-1)
        return np.array(values["positions"], np.float32).reshape(-1, 3), colours


def stamps_of(chunk):
    """The stamps in ns, which Python's own datetime would cut to µs."""
    batch = chunk.to_record_batch()
    if "stamp" not in batch.schema.names:
        return [None] * batch.num_rows
    return batch.column("stamp").cast("int64").to_pylist()


def rows_of(chunk):
    return chunk.to_record_batch().to_pylist()
