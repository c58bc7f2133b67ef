"""The table of dependencies counts what is really there."""

from __future__ import annotations

from pathlib import Path

from bench.start import close_over, measure_disk, read_requirements, size_of

ROOT = Path(__file__).parents[2]


def test_what_is_asked_for_is_what_the_product_needs() -> None:
    wanted = read_requirements(ROOT / "requirements.txt")
    everything = close_over(wanted)
    assert {"torch", "flask", "werkzeug", "httpx2", "httpcore2"} <= everything
    assert everything & {"label-studio-sdk", "pandas", "opencv-python-headless", "nltk", "pytest", "httpx"} == set()


def test_a_package_goes_with_what_it_alone_brings() -> None:
    rows, everything = measure_disk([("flask", ()), ("werkzeug", ())])
    flask, werkzeug = sorted(rows, key=lambda row: row.name)
    assert {"flask", "werkzeug", "jinja2", "blinker"} <= everything
    assert flask.own == size_of("flask") > 50_000 and flask.own < flask.alone and flask.packages >= 2
    assert flask.alone < sum(map(size_of, everything - {"werkzeug"})) + 1
    assert (werkzeug.alone, werkzeug.packages) == (0, 0)  # it stays for flask
