"""Opening of a pipeline's parts: networks of a bundle on a backend, and compiled kernels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.types import BoundaryScores, Features
from actspan.data.cells import fit_to_cells
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import generate_proposals_batch
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.opening import choose_backend, find_backend, open_net
from actspan.runtime.session import Session


def open_nets(
    bundle: Bundle, nets: Iterable[Net], backend: str, threads: int
) -> dict[Net, Session]:
    """Open networks of a bundle for calls from `threads` workers; each call uses one thread.

    Missing ONNX files are exported first. `backend` may be "auto".
    """
    chosen = choose_backend(bundle, backend).name
    nets = list(nets)
    missing = [net for net in nets if f"{net}.onnx" not in bundle.files]
    if missing and find_backend(chosen)[0].suffix == ".onnx":
        bundle = with_onnx(bundle)
    return {n: open_net(bundle, n, backend=chosen, threads=1, streams=threads) for n in nets}


def with_onnx(bundle: Bundle) -> Bundle:
    """Return the bundle with ONNX files of its networks; export those that are missing."""
    if all(f"{net}.onnx" in bundle.files for net in bundle.nets):
        return bundle
    from actspan.runtime.export import export_bundle

    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def load_kernels() -> None:
    """Call every kernel once to load its compiled form, or to compile it the first time."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    scores = BoundaryScores(*(cells.ravel() for _ in range(3)))
    config = PipelineConfig()
    candidates = generate_proposals_batch([scores], config.pgm, [(False, False)])
    rows = np.empty((len(candidates.together), config.bsp.size), dtype=np.float32)
    bsp_features_batch(rows, [scores], candidates, config.bsp)
    soft_nms_batch(candidates, candidates.together.score, config.soft_nms)
