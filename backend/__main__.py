"""`python -m backend` is the same as `understudy`."""

from backend.cli.main import main

if __name__ == "__main__":
    main(prog_name="understudy")
