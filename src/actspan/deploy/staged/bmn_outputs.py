"""Candidates from the dumps of BMN: a confidence map, start and end scores."""

from __future__ import annotations

from pathlib import Path

from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.stage import Item, Stage
from actspan.deploy.staged.step_files import proposal_columns, write_csv
from actspan.model.nets import output_shapes
from actspan.pipeline.bmn_steps import BmnOutput, find_candidates
from actspan.proposals.confidence_map import map_values


def find_bmn_candidates(
    stage: Stage, dumps: Dumps, folder: Path | None, item: Item
) -> tuple[Proposals, Float32]:
    """Return the candidates of an input and their confidence, (N,).

    They are also written to `folder`, if there is one, with the columns of the published code.
    """
    config, shapes = stage.config, output_shapes(stage.config, "bmn").values()
    arrays = (dumps.read(item, k).reshape(1, *shape) for k, shape in enumerate(shapes))
    output = BmnOutput(*arrays)
    found, confidence = find_candidates(output, [item.rows], [item.window], config)
    candidates = found.together
    if folder is not None:
        assert config.bmn is not None
        grid, axes = output.confidence_map[0], config.bmn.axes
        regression, classification = map_values(grid, candidates, item.rows, axes)
        columns = {
            **proposal_columns(candidates),
            "clr_score": classification,
            "reg_socre": regression,  # so spelt there
            "score": candidates.score,
        }
        write_csv(folder / f"{item.name}.csv", columns)
    return candidates, confidence
