"""Good files with some bytes changed, for tests that feed a reader with anything."""

from hypothesis import strategies as st

CELLS = st.sampled_from(
    [text.encode() for text in ("", "0", "1", "255", "256", "0.5", "nan", '"', "\n", ",", "\0")]
    + ["é".encode(), b"-"]
)


@st.composite
def mutated(draw, goods, put=CELLS, longest=12, most_repeats=9):
    """One of the good files with bytes changed, cut out, put in, repeated, moved, or cut off."""
    raw = bytearray(draw(st.sampled_from(goods)))
    for _ in range(draw(st.integers(0, 4))):
        start, length = draw(st.integers(0, max(len(raw) - 1, 0))), draw(st.integers(1, longest))
        match draw(st.sampled_from(["flip", "cut", "put", "repeat", "end", "move"])):
            case "flip" if raw:
                raw[start] ^= draw(st.integers(1, 255))
            case "cut":
                del raw[start : start + length]
            case "put":
                raw[start:start] = draw(put)
            case "repeat":
                raw[start:start] = raw[start : start + length] * draw(st.integers(1, most_repeats))
            case "end":
                del raw[start:]
            case "move":
                raw = raw[start:] + raw[:start]
    return bytes(raw)
