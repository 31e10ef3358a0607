"""Description of the machine that a result was measured on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Environment", "Roof"]


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machine and software of a measurement.

    Attributes
    ----------
    cpu : str
    cores : int
        Cores that the process may use.
    system : str
    cpu_flags : tuple of str
        Instruction sets that matter for speed: `avx2`, `avx512f`, `amx_tile`, ...
    variables : mapping of str to str
        Environment variables that change thread counts: `OMP_NUM_THREADS`, ...
    versions : mapping of str to str
        Versions of Python and libraries.
    load_average : float, optional
        Load average of the last minute before the start.
    sgemm_gflops, sgemm_spread : float, optional
        Rate of a fixed matrix product, billions of operations per second, and its standard
        deviation over its mean, a measure of noise.
    sgemm_after_gflops : float, optional
        Rate of the same product after all measurements.
    """

    cpu: str
    cores: int
    system: str
    cpu_flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = msgspec.field(default_factory=dict)
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)
    load_average: float | None = None
    sgemm_gflops: float | None = None
    sgemm_spread: float | None = None
    sgemm_after_gflops: float | None = None


class Roof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Highest rates of the machine, measured on all cores.

    Attributes
    ----------
    gflops : float
        Billions of operations per second, for matrix products of TEM's sizes in single
        precision.
    gigabytes_per_second : float
        Bytes read and written by copies of large arrays.
    cache_gigabytes_per_second : float
        The same for repeated copies of arrays of the size of a video's features.
    """

    gflops: float
    gigabytes_per_second: float
    cache_gigabytes_per_second: float
