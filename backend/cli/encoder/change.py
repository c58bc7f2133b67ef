"""`understudy encoder`: see how a project's change to another encoder fares, and decide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest
from backend.screen import say, say_json

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.encoder_json import EncoderAnswer


@click.command()
@project_argument
@click.option("--take", is_flag=True, help="Take BASE_MODEL's whatever the comparison says.")
@click.option("--keep", is_flag=True, help="Keep the live version's, whatever BASE_MODEL names.")
@click.option("--compare", is_flag=True, help="Take what is not clearly worse (what is done unless you say otherwise).")
@json_option
@with_api
def encoder(api: AdminClient, project: int, take: bool, keep: bool, compare: bool, as_json: bool) -> None:
    """Show how a change of BASE_MODEL fares in a project, or decide it.

    --take counts for one change: the one under way, or the next. --keep holds until something else is said."""
    if take + keep + compare > 1:
        raise BadRequest("--take, --keep and --compare: one of them")
    if not (take or keep or compare):
        answer = api.encoder(project)
        say_json(answer) if as_json else say(describe_encoder(answer))
        return
    answer = api.choose_encoder(project, "take" if take else "keep" if keep else "compare")
    say_json(answer) if as_json else say(answer.get("message", ""))


def describe_encoder(answer: EncoderAnswer) -> str:
    """In one line."""
    made = f" (encoder {answer['made_with']})" if answer["made_with"] else ""
    wish = "" if answer["wish"] == "compare" else f"; you said: {answer['wish']}"
    return f"BASE_MODEL is {answer['base_model']}; {answer['live'] or 'v0'}{made} answers; {_far(answer)}{wish}"


def _far(answer: EncoderAnswer) -> str:
    state, reason = answer["state"], answer.get("reason", "")
    if answer.get("digest") == answer["made_with"] != "":
        return f"taken {_measured(answer)}: {reason}" if "labels" in answer else "it is BASE_MODEL's"
    if state == "encoding":
        return f"{answer.get('left', 0)} labelled texts are still to be encoded for {answer.get('digest', '')}"
    if state == "refused":
        again = f"compared again at {answer.get('again_at', 0)}"
        return f"{answer.get('digest', '')} was not taken {_measured(answer)}: {reason}; {again}"
    return "no change of the encoder is under way"


def _measured(answer: EncoderAnswer) -> str:
    """`at 256 labels (label +3.1 points, 2.0 x the work of a text)`"""
    points = ", ".join(f"{name} {gain:+.1f} points" for name, gain in answer.get("gains", {}).items())
    brings = f" ({points}, {answer.get('cost', 1.0):.1f} x the work of a text)" if points else ""
    return f"at {answer.get('labels', 0)} labels{brings}"
