"""Names of the Redis keys. All keys of a project share one hash tag, so that a script may touch them together."""

from __future__ import annotations

from dataclasses import dataclass

PROJECTS = "understudy:projects"
"""SET of project ids."""

ANNOUNCE = "understudy:announce"
"""Pub/sub channel: `<project> <version>` after every move of a live pointer."""

SCHEDULER_LEASE = "understudy:scheduler"
"""STRING with a time to live: which scheduler is the active one."""

AUDIT = "understudy:audit"
"""STREAM of what admins did."""

TALLIES = "understudy:tallies"
"""HASH of counters that processes without a port add to, for /metrics."""

STEERED = "understudy:steered"
"""SET of the projects whose queue in Label Studio is steered."""

LOGINS_ENDED = "understudy:login:ended:"
"""STRING with a time to live, one a session of the model page that somebody logged out of."""

LOGIN_LINKS = "understudy:login:link:"
"""STRING with a time to live, one a login link that was not used yet."""

FINDINGS = "understudy:findings"
"""HASH of what the doctor found last, by project."""

EXAMINING = "understudy:examining:"
"""STRING with a time to live, one a project that the doctor is asked to look at."""

PEOPLE = "understudy:people"
"""HASH of what the users of Label Studio are called, by their number there."""

PEOPLE_ASKED = "understudy:people_asked"
"""STRING with a time to live: Label Studio was asked for them."""

OUTBOX = "understudy:outbox:"
"""Of outgoing events, three keys an endpoint. In no backup."""

SECRETS = "understudy:secrets"
"""HASH of the secrets that nobody has set. In no backup."""

CLOCKS = "understudy:clocks"
"""HASH of how far the machines' clocks are from Redis's. In no backup."""

ENCODERS = "understudy:encoders"
"""HASH of what each encoder is that was used, by its digest."""

ENCODERS_TRUSTED = "understudy:encoders:trusted"
"""HASH of the files that each name of an encoder gave when it was used first."""

ENCODERS_MISSING = "understudy:encoders:missing"
"""HASH of machines that lack the encoder of a live version, and where projects go. In no backup."""

SCHEMA = "understudy:schema"
"""STRING: the number of the shape that everything here has (schema.py)."""


@dataclass(frozen=True)
class Key:
    """One kind of key: its name behind the prefix, Redis's type, what it holds. docs/store.md shows the tables."""

    name: str
    type: str
    holds: str


PROJECT_KEYS = (
    Key("ex", "HASH", "annotation id → 16 hex digits of sha256, then JSON"),
    Key("ver", "HASH", "annotation id → Label Studio's `updated_at` in microseconds, zero-padded"),
    Key("task", "HASH", "annotation id → its task, for deleted tasks"),
    Key("bytask:<task>", "SET", "and back"),
    Key("log", "ZSET", "annotations by the number of their last change"),
    Key("seq", "INT", "the last such number"),
    Key("tomb", "ZSET", "deleted annotations by Redis's time"),
    Key("tasktomb", "ZSET", "deleted tasks by Redis's time"),
    Key("clock", "INT", "last stamp of a tombstone: the next one is later, whatever Redis's clock says"),
    Key("live", "STRING", "the version served"),
    Key("hist", "LIST", "what was live, newest first: the last 200 moves"),
    Key("pinned", "STRING", "the version that an admin rolled back to"),
    Key("trained", "INT", "highest snapshot that a published model was fitted on"),
    Key("fitted", "INT", "snapshot that the live version was fitted on"),
    Key("fence", "STRING", "`<job>/<attempt>` of the training that may publish ([0021](decisions/0021-fencing.md))"),
    Key("counters", "HASH", "next names of versions"),
    Key("evaluated", "STRING", "the last fine-tune, published or not, as JSON"),
    Key("evidence", "LIST", "test-then-train rows"),
    Key("tested", "STRING", "version and seq that were tested last"),
    Key("seen", "HASH", "task → seq at which it was first seen labelled"),
    Key("curve", "HASH", "sums of all rows by the labels known then"),
    Key("survey", "STRING", "confidences of the unlabelled pool"),
    Key("surveys", "LIST", "their means in the past"),
    Key("told", "HASH", "what outgoing events told once: labels that are enough, drift up to an answer"),
    Key("suspects", "HASH", "control → labels that are probably wrong, as JSON with the versions of their annotations"),
    Key("suspects:duplicates", "HASH", "control → labels that those of duplicates speak against, likewise"),
    Key(
        "duplicates",
        "HASH",
        "bucket → what people answered to labelled texts, by what duplicates share; `facts`: how often they agree; "
        "`first`, `number`: since when and how often it was written",
    ),
    Key("duplicates:log", "ZSET", "buckets by the number of their last change"),
    Key(
        "patterns", "HASH", "control → strings and expressions that people brought for it, as JSON; at most 8 MiB each"
    ),
    Key("patterns:about", "HASH", "control → their digest, when they came, and how many there are of each label"),
    Key("teacher", "HASH", "the last `understudy teach`: which texts are asked about, and how far it is"),
    Key("teacher:answers", "HASH", "digest of a text, labels and model → what the teacher said, as JSON; no text"),
    Key("teacher:call", "STRING", "RQ's call of it"),
    Key("teacher:lease", "STRING", "who works on it (expires)"),
    Key(
        "cfg",
        "HASH",
        "label config, `asked`: since when each question is in it, `spans_show` if chosen, `encoder` how far a change "
        "of it is, `encoder_wish` what people want of it",
    ),
    Key("pool", "HASH", "task → unlabelled text"),
    Key("pool:report", "STRING", "duplicates and outliers among these, as the learner found them last, as JSON"),
    Key("suggested", "HASH", "task → a line a version: its name, a tab, what it suggested; the last 100,000 tasks"),
    Key("suggested:order", "ZSET", "these tasks by time"),
    Key("marks:<task>", "STRING", "what interactive marking has suggested in a task, and what was removed (expires)"),
    Key(
        "meta",
        "HASH",
        "why a reconciliation is due, how often it was asked for, the last one; size of the pool's project; its title; "
        "the language of the pool's texts; "
        "what the last refit saw, and how the last labels were answered before they were learned, as JSON",
    ),
    Key("job", "STRING", "the training that runs or ran last"),
    Key("jobs", "LIST", "trainings, newest first"),
    Key("losses", "HASH", "training → its losses by step, as JSON"),
    Key("learner", "STRING", "which learner works on it (expires)"),
    Key("refit", "STRING", "a refit is asked for (expires)"),
    Key("refit:rq", "STRING", "RQ's id of it (expires)"),
    Key("resync", "STRING", "a reconciliation is asked for (expires)"),
    Key("resync:rq", "STRING", "RQ's id of it (expires)"),
    Key("predict", "HASH", "the last `understudy predict`"),
    Key("predict:shards", "HASH", "shard → range, cursor and counts as JSON"),
    Key("predict:calls", "HASH", "shard → RQ's call"),
    Key("predict:lease:<n>", "STRING", "who works on shard n (expires)"),
    Key("files", "HASH", "the last run that predicts files"),
    Key("files:shards", "HASH", "shard → file and range as JSON"),
    Key("files:state", "HASH", "shards that are over → done, kept, or why it failed"),
    Key("files:sums", "HASH", "counts of its shards and rows"),
    Key("files:calls", "HASH", "shards in flight → RQ's call"),
    Key("files:attempts", "HASH", "shards that are worked on → how often they were begun"),
    Key("files:lease:<n>", "STRING", "who works on shard n (expires)"),
    Key("export", "HASH", "the last `understudy export` that the server made, and how far it is"),
    Key("export:call", "STRING", "RQ's call of it"),
    Key("export:lease", "STRING", "who works on it (expires)"),
    Key(
        "rejects",
        "HASH",
        "why tasks, labels and requests came to nothing, as JSON; `{p0}`: of no known project",
    ),
    Key("trouble", "HASH", "background work that fails: how often in a row, and why"),
    Key("hold:<kind>", "STRING", "while it exists such work waits; kind is refit, train or sync (expires)"),
    Key("plan", "STRING", "the next batch of tasks, until it is written into Label Studio"),
    Key("plan:asked", "STRING", "a plan is asked for (expires)"),
    Key("plan:rq", "STRING", "RQ's id of it (expires)"),
    Key("steer:asked", "STRING", "writing it is asked for (expires)"),
    Key("steer:rq", "STRING", "RQ's id of it (expires)"),
    Key("queue", "HASH", "the batch that Label Studio has, and why it is not steered if it is not"),
    Key("queue_number", "INT", "number of the last queue version"),
    Key("queued", "ZSET", "tasks of that batch, and until when those of the one before count"),
    Key("passed", "ZSET", "tasks that somebody skipped or drafted, by time: not planned again for an hour"),
    Key("hunted", "HASH", "tasks handed out for a scarce class: for which, and whether they were it"),
    Key("hunts", "HASH", "what admins said of classes: words, expression, tasks like them, or not to hunt them"),
    Key("handed", "ZSET", "the last labels, as `<annotation>:<1 when handed out by the queue>`"),
    Key("tabs", "HASH", "Data Manager tabs whose order we set, and whether somebody has changed it"),
    Key("tabs:held", "STRING", "somebody is changing them (expires)"),
)
"""Behind `understudy:{p<project>}:`."""

GLOBAL_KEYS = (
    Key("projects", "SET", "project ids"),
    Key("announce", "channel", "`<project> <version>` after every move of a live pointer"),
    Key("scheduler", "STRING", "which scheduler is the active one (expires)"),
    Key("job:<id>", "HASH", "a training's record; kept out of `rq:*`: losing all of those loses no record"),
    Key("steered", "SET", "projects whose queue in Label Studio is steered"),
    Key("audit", "STREAM", "what admins did"),
    Key("tallies", "HASH", "counters of processes without a port, for `/metrics`"),
    Key("login:ended:<id>", "STRING", "a session of the model page that was logged out of (expires)"),
    Key("login:link:<digest>", "STRING", "a login link that was not used yet (expires)"),
    Key("findings", "HASH", "project → what `understudy doctor` found last, as JSON; 0: of the installation"),
    Key("examining:<project>", "STRING", "an examination is asked for (expires)"),
    Key(
        "people",
        "HASH",
        "number → what a user of Label Studio is called; none with `UI_PEOPLE=false`",
    ),
    Key("people_asked", "STRING", "they were asked for (expires)"),
    Key(
        "outbox:<endpoint>",
        "ZSET",
        "outgoing events of an endpoint, by when they are due; in no backup (expires)",
    ),
    Key("outbox:<endpoint>:events", "HASH", "their JSON, and how often each was tried; in no backup (expires)"),
    Key("outbox:<endpoint>:state", "HASH", "the endpoint's last answer, and counts; in no backup (expires)"),
    Key("secrets", "HASH", "admin token and webhook secret that nobody has set, with `REDIS_URL` alone; in no backup"),
    Key("clocks", "HASH", "host → how far its clock is ahead of Redis's, and when that was measured"),
    Key("encoders", "HASH", "digest → what an encoder is and where its files come from, as JSON"),
    Key("encoders:trusted", "HASH", "name or directory → digest of the files that it gave first, as JSON"),
    Key(
        "encoders:missing",
        "HASH",
        "digest and host → when that host lacked it last; `wanted`: where projects go; in no backup",
    ),
    Key("schema", "INT", "the shape of all this (`backend/store/schema.py`)"),
)
"""Behind `understudy:`."""

_NAMES = frozenset(key.name.partition(":")[0] for key in PROJECT_KEYS)


def project_key(project: int, name: str) -> str:
    """`understudy:{p7}:name`. Raises KeyError for a name that is not in the table: what is stored is documented."""
    if name.partition(":")[0] not in _NAMES:
        raise KeyError(f"{name!r} is not in PROJECT_KEYS")
    return f"understudy:{{p{int(project)}}}:{name}"


def job_key(job: str) -> str:
    """HASH of one training's record. Kept out of `rq:*`: losing all of those loses no record."""
    return f"understudy:job:{job}"
