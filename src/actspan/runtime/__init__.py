"""Inference runtimes behind one narrow contract."""
