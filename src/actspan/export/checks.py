"""What an export says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from actspan.bundle import Net

TOLERANCE = 1e-5  # largest absolute difference of a probability


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """What was written, and how far it is from its weights.

    Attributes
    ----------
    net : "tem" or "pem"
    file : str
        Name in the bundle.
    opset : int
    size : int
        Bytes.
    numpy_difference : float
        Largest absolute difference between ONNX Runtime and the NumPy forward pass.
    torch_difference : float, optional
        The same with the torch network, where that was compared.
    passes : tuple of str
        Graph passes that it went through.
    """

    net: Net
    file: str
    opset: int
    size: int
    numpy_difference: float
    torch_difference: float | None = None
    passes: tuple[str, ...] = ()
