"""Valid files with a few bytes changed: each reader refuses them by name, or reads them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.seeds import write_seeds
from fuzz.targets import TARGETS
from tests.hostile.guard import Guard

EXAMPLES = 30
# what tends to be read as a size, an offset, a type or an end
_TELLING = st.sampled_from(
    [b"\0" * 8, b"\xff" * 4, b"\x7f" * 8, b"\x80", b"9" * 12, b"-1", b"nan", b"1e999", b'"', b"{["]
)


@st.composite
def edits(draw: st.DrawFn, data: bytes) -> bytes:
    """Replace, insert or remove a few bytes."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 12))
        new = draw(st.one_of(st.just(b""), st.binary(max_size=4), _TELLING))
        data = data[:at] + new + data[at + gone :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(chosen=st.data())
def test_refused_or_read(
    target: str, chosen: st.DataObject, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / target
    seeds = folder / "seeds"
    if not seeds.is_dir():
        write_seeds(target, seeds)
    seed = chosen.draw(st.sampled_from(sorted(seeds.iterdir()))).read_bytes()
    reader = TARGETS[target][seed[0]]
    path = folder / "in" / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(chosen.draw(edits(seed[1:])))
    answer = guard.read(target, reader.file, path)
    assert answer.ours, f"{answer.error}: {answer.message}"
