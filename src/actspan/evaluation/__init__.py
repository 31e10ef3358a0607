"""How good are proposals? The ActivityNet protocol."""
