"""Fuzz every reader of files with damaged and hostile bytes: coverage-guided, by atheris.

    python -m fuzz --seconds 600                  all readers in turn, and a table
    python -m fuzz --seconds 60 --reader arrays   one of them
    python -m fuzz --reader arrays --again FILE   a finding once more, with its traceback

A reader may return or raise an `ActSpanError`. Anything else is a finding: another exception, the
death of the process (a crash in native code), more than 60 seconds, or more memory than allowed.
"""
