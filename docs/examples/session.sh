#!/usr/bin/env bash
# Plays Label Studio with curl: sets a project up, asks for predictions, sends what people answered, and asks again.
#
#   export DATA_DIR=/tmp/try PORT=9191; make up                   # one terminal: labels that are made up stay apart
#   export DATA_DIR=/tmp/try PORT=9191; docs/examples/session.sh single-choice
#   URL=http://host:9090 PROJECT=42 ADMIN_TOKEN=… docs/examples/session.sh rating
#
# A folder holds a label config and tasks in Label Studio's import format; those with annotations are what people answered.
# BASIC_AUTH_USER, BASIC_AUTH_PASS and WEBHOOK_SECRET are used when they are set. It waits a minute for a server that
# starts (READY_TRIES: half seconds). Ids are made up: use a PROJECT (default 900001) that your Label Studio does not have.
set -euo pipefail

stop() { echo "session.sh: $1" >&2; exit 1; } # one line: what is wrong, and what to do

HERE=$(cd "$(dirname "$0")" && pwd)
EXAMPLE=$HERE/${1:-}
[ -n "${1:-}" ] && [ -f "$EXAMPLE/config.xml" ] ||
  stop "say which example: $(cd "$HERE" && printf '%s\n' */config.xml | sed 's:/config.xml::' | paste -sd ' ' -)"
URL=${URL:-http://127.0.0.1:${PORT:-9090}}
PROJECT=${PROJECT:-900001}
ADMIN_TOKEN=${ADMIN_TOKEN:-$(cat "${DATA_DIR:-.understudy}/admin_token" 2>/dev/null || true)}

post() { # post PATH: the body comes from standard input, as JSON
  local reply
  reply=$(curl -sS --fail-with-body --noproxy '*' -X POST "$URL$1" -H 'Content-Type: application/json' \
    ${BASIC_AUTH_USER:+-u "$BASIC_AUTH_USER:${BASIC_AUTH_PASS:-}"} \
    ${WEBHOOK_SECRET:+-H "X-Webhook-Secret: $WEBHOOK_SECRET"} --data-binary @-) || stop "POST $1 failed: $reply"
  echo "$reply"
}

body() { # body KIND [NUMBER]: what Label Studio would send
  python3 - "$EXAMPLE" "$PROJECT" "$@" <<'PYTHON'
import json, pathlib, sys, time

folder, project, kind, *number = sys.argv[1:]
config = pathlib.Path(folder, "config.xml").read_text(encoding="utf-8")
tasks = json.loads(pathlib.Path(folder, "tasks.json").read_text(encoding="utf-8"))
for id, task in enumerate(tasks, 1):
    task["id"] = id
if kind == "setup":
    print(json.dumps({"project": f"{project}.1", "schema": config}))
elif kind == "predict":
    ask = [{"id": task["id"], "data": task["data"]} for task in tasks]
    print(json.dumps({"project": f"{project}.1", "label_config": config, "tasks": ask}))
elif kind == "annotated":
    print(*(task["id"] for task in tasks if "annotations" in task))
elif kind == "webhook":
    task = tasks[int(number[0]) - 1]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    annotation = {"id": task["id"], "task": task["id"], "completed_by": 1, "created_at": now, "updated_at": now}
    annotation["result"] = task["annotations"][0]["result"]
    print(json.dumps({
        "action": "ANNOTATION_CREATED", "project": {"id": int(project), "label_config": config},
        "task": {"id": task["id"], "data": task["data"]}, "annotation": annotation,
    }))
PYTHON
}

version() {
  local reply
  reply=$(body setup | post /setup) || return
  python3 -c 'import json, sys; print(json.load(sys.stdin)["model_version"])' <<<"$reply"
}

admin() { # what an admin sees of the project
  local reply
  reply=$(curl -sS --fail-with-body --noproxy '*' -H "Authorization: Bearer $ADMIN_TOKEN" "$URL/admin/projects/$PROJECT") ||
    stop "GET /admin/projects/$PROJECT failed: $reply"
  echo "$reply"
}

pending() { # answers that are not learned yet; 0 where nobody may ask
  local reply
  [ -z "$ADMIN_TOKEN" ] && echo 0 && return
  reply=$(admin) || return
  python3 -c 'import json, sys; print(json.load(sys.stdin)["pending"])' <<<"$reply"
}

predict() { # one line a task: its score and its answer
  local reply
  reply=$(body predict | post /predict) || return
  python3 -c '
import json, sys
reply = json.load(sys.stdin)
for number, item in enumerate(reply["results"], 1):
    said = [region["value"] for region in item["result"]] if item else "declined"
    print("  task", number, "%.2f" % item["score"] if item else "-", json.dumps(said, ensure_ascii=False))
print("  by version", reply["model_version"])' <<<"$reply"
}

ready() { # what /ready says, and whether models serve; until they do, for a minute
  local reply=
  for _ in $(seq "${READY_TRIES:-120}"); do
    reply=$(curl -sS --fail-with-body --noproxy '*' ${BASIC_AUTH_USER:+-u "$BASIC_AUTH_USER:${BASIC_AUTH_PASS:-}"} "$URL/ready" 2>&1) &&
      echo "$reply" && return
    sleep 0.5
  done
  stop "nothing serves at $URL: start it with \`make up\`, and wait until it says that models serve. $reply"
}

echo "== is it up?"
ready

echo "== /setup, as Label Studio calls it when a backend is connected"
before=$(version)
echo "  version: $before"
[ -z "$ADMIN_TOKEN" ] || admin >/dev/null # a wrong token is told now

echo "== /predict, before anybody has labelled"
predict

echo "== /webhook, once for each answer"
for number in $(body annotated); do body webhook "$number" | post /webhook; done

echo "== a new version, a moment later"
for _ in $(seq 120); do
  after=$(version)
  [ "$after" != "$before" ] && [ "$after" = "${last:-}" ] && [ "$(pending)" = 0 ] && break
  last=$after
  sleep 0.5
done
echo "  version: $after"
[ "$after" != "$before" ] || { echo "nothing was learned within a minute: does the learner run? understudy doctor" >&2; exit 1; }

echo "== /predict again"
predict

if [ -n "$ADMIN_TOKEN" ]; then
  echo "== what an admin sees: /admin/projects/$PROJECT"
  found=$(admin)
  python3 -c '
import json, sys
found = json.load(sys.stdin)
print(json.dumps({key: found[key] for key in ("live", "examples", "pending", "labels")}, indent=2, ensure_ascii=False))' <<<"$found"
else
  echo "no ADMIN_TOKEN: set it, or DATA_DIR, to see the status" >&2
fi
