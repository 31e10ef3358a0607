"""`python -m actspan`."""

from actspan.cli import main

if __name__ == "__main__":
    main(prog_name="actspan")
