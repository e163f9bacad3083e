"""Videos of flat grey frames, written by PyAV and OpenCV: each frame another level."""

from fractions import Fraction

import cv2
import numpy as np

LEVELS = tuple(range(20, 220, 10))
TIME_BASE = Fraction(1, 12800)
# Some frames are shown twice as long as others.
STAMPS = tuple(int(v) for v in np.cumsum([0] + [400 + 400 * (i % 3 == 0) for i in range(19)]))


def write_video(path, levels=LEVELS, size=(64, 48), is_steady=False, pictures=None):
    """Write grey frames, or pictures; variable times unless steady."""
    import av

    pictures = pictures or [np.full((size[1], size[0], 3), level, np.uint8) for level in levels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *pictures[0].shape[1::-1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25) if is_steady else TIME_BASE
        for index, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = index if is_steady else STAMPS[index]
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_turned(path, degrees):
    """Write four greys, and a display matrix that turns them by so many degrees to the right."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, 32:], picture[24:, :32], picture[24:, 32:] = 80, 160, 240
    write_video(path, pictures=[picture] * 3)
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one, w = 1 << 16, 1 << 30
    plain = np.array([one, 0, 0, 0, one, 0, 0, 0, w], ">i4").tobytes()
    turned = np.array([cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, w], ">i4").tobytes()
    data = path.read_bytes()
    at = data.index(b"tkhd")
    matrix = data.index(plain, at)
    path.write_bytes(data[:matrix] + turned + data[matrix + len(plain) :])
    return path


def times_of(path):
    """The times of all frames, as PyAV decodes them."""
    import av

    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def duration_of(path):
    import av

    with av.open(str(path)) as container:
        return float(container.duration / av.time_base)


def levels_of(frames):
    return [float(frame.rgb().mean()) for frame in frames]


def frames_by_opencv(path):
    """All frames, BGR, read by another library."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames
