"""A change of the encoder over the admin API: shown, decided, and written into the audit log."""

from __future__ import annotations

from typing import Any

from backend.store.work.encoder_changes import EncoderChanges, Wish
from tests.support.tiny import PROJECT, Letters

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/encoder"


def test_it_is_shown_and_decided(client: Any, context: Any) -> None:
    Letters(context.stores)
    shown = client.get(PATH, headers=ADMIN).get_json()
    assert shown["state"] == shown["live"] == shown["made_with"] == "" and shown["wish"] == "compare"
    changes = EncoderChanges(context.stores.client)
    changes.save(PROJECT, {"state": "encoding", "digest": "ab", "left": 3})
    shown = client.get(PATH, headers=ADMIN).get_json()
    assert (shown["state"], shown["digest"], shown["left"]) == ("encoding", "ab", 3) and "again_at" not in shown
    context.stores.versions.pin(PROJECT, "v3.1")
    told = client.post(PATH, json={"wish": "take"}, headers=ADMIN).get_json()
    assert told["wish"] == "take" and "v3.1 is pinned" in told["message"]
    assert changes.wish(PROJECT) is Wish.TAKE and context.stores.jobs.is_learner_wanted()
    for wrong in ({}, {"wish": "maybe"}, {"wish": ["keep"]}):
        reply = client.post(PATH, json=wrong, headers=ADMIN)
        assert reply.status_code == 400 and reply.get_json()["field"] == "wish"
    assert client.get(PATH).status_code == 401
    assert client.get("/admin/projects/99/encoder", headers=ADMIN).status_code == 404
    actions = client.get("/admin/audit", headers=ADMIN).get_json()["actions"]
    assert {one["action"] for one in actions} == {"encoder"}
