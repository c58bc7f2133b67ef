"""Names of folders that a file system allows, and that people have."""

from __future__ import annotations

ODD_NAMES = (
    "My Projects",
    "with space and 100% ü?#",
    "quote\"d and 'quoted'",
    "a;b #c ; d",
    "$HOME `id` $(id) ~ !",
    "%(here)s %s %%",
    "back\\slash\\n",
    "tab\there\nline end",
    "*? [x] {a,b}",
    "a=b&c=d",
    "- --leading",
    " blanks around ",
    "проект 標注 🏷️",
    "deep/" * 60,
)
