"""Values that the chart is rendered with, and values that it refuses. Imports nothing: two Pythons read it."""

from __future__ import annotations

from typing import Any

ALL_KEYS = [
    "ADMIN_TOKEN",
    "BASIC_AUTH_PASS",
    "BASIC_AUTH_USER",
    "HF_TOKEN",
    "LABEL_STUDIO_API_KEY",
    "NOTIFY_SECRET",
    "NOTIFY_URL",
    "REDIS_PASSWORD",
    "REDIS_URL",
    "TEACHER_KEY",
    "WEBHOOK_SECRET",
]

KEDA: dict[str, Any] = {"trainer": {"keda": {"enabled": True, "maxReplicas": 4}}}

FILES: dict[str, Any] = {"predictor": {"keda": {"enabled": True, "maxReplicas": 8}}}

BUCKET: dict[str, Any] = {
    "artifacts": {"url": "s3://models/understudy", "env": {"AWS_ENDPOINT_URL": "https://s3.x.org"}}
}

SENTINEL: dict[str, Any] = {
    "redis": {"enabled": False},
    "externalRedis": {"addresses": ["s1:26379", "s2:26379"], "sentinelService": "mymaster", "database": 2},
}

TLS: dict[str, Any] = {
    "redis": {"enabled": False},
    "externalRedis": {"addresses": ["redis.x.org:6380"], "tls": {"enabled": True, "caSecret": "redis-ca"}},
    "networkPolicy": {"externalRedis": {"ports": [6380], "peers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}},
}

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "bucket": {**BUCKET, "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}},
    "bucket-keys": {
        "artifacts": {"url": "gs://models", "credentialsSecret": "gcs"},
        "secret": {"name": "other", "keys": ALL_KEYS},
    },
    "keda": {**KEDA, "prometheusRule": {"enabled": True}},
    "keda-gpu": {
        "trainer": {
            "keda": {"enabled": True},
            "gpu": {"enabled": True},
            "image": {"tag": "0.1.0-cuda"},
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        }
    },
    "keda-sentinel": {**KEDA, **SENTINEL, **BUCKET},
    "keda-tls": {**KEDA, **TLS, "secret": {"keys": ALL_KEYS}},
    "keda-prometheus": {
        "trainer": {"keda": {"enabled": True, "trigger": "prometheus", "prometheusUrl": "http://prometheus:9090"}}
    },
    "keda-files": {**FILES, "prometheusRule": {"enabled": True}},
    "keda-files-prometheus": {
        "predictor": {"keda": {"enabled": True, "trigger": "prometheus", "prometheusUrl": "http://prometheus:9090"}}
    },
    "sentinel": {**SENTINEL, **FILES},
    "tls": {**TLS, **FILES, "secret": {"keys": ALL_KEYS}},
    "everything": {
        **BUCKET,
        "secret": {"keys": ALL_KEYS},
        "publicUrl": "https://understudy.example.com/ml",
        "ingress": {"enabled": True, "className": "nginx", "path": "/ml", "tlsSecret": "cert"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "settings": {
            **{"POOL_SIZE": 1_000_000, "UI_PEOPLE": False, "PREDICT_SHARE": 0.25, "QUEUE_STRATEGY": "bald"},
            **{"TEACHER_URL": "https://llm.x.org/v1", "TEACHER_MODEL": "m"},
        },
        "networkPolicy": {"modelHub": {"enabled": True}},
        "image": {"pullSecrets": [{"name": "registry"}]},
        "podLabels": {"azure.workload.identity/use": "true"},
        "podAnnotations": {"x.org/team": "labels"},
        "web": {
            "nodeSelector": {"pool": "cpu"},
            "affinity": {"nodeAffinity": {}},
            "tolerations": [{"operator": "Exists"}],
        },
    },
    "small": {
        "web": {"autoscaling": {"enabled": False}, "replicas": 1, "podDisruptionBudget": {"enabled": False}},
        "networkPolicy": {"enabled": False},
        "secret": {"keys": []},
        "labelStudio": {"url": ""},
        "serviceAccount": {"create": False},
        "data": {"existingClaim": "models", "storageClass": "nfs"},
    },
    "paused": {
        "pauseWorkers": True,
        **KEDA,
        **FILES,
        "fullnameOverride": "labels-of-a-team-with-a-very-long-name-indeed-it-is",
    },
}

ALONE: dict[str, Any] = {
    "labelStudio": {"url": ""},
    "secret": {"keys": ["ADMIN_TOKEN", "BASIC_AUTH_PASS", "BASIC_AUTH_USER", "WEBHOOK_SECRET"]},
    "settings": {"FINETUNE_STEPS": 2},
}
"""Without a Label Studio to call; one calls."""

RUN: dict[str, dict[str, Any]] = {
    "run-shared": ALONE,
    "run-bucket": {
        **ALONE,
        "artifacts": {
            "url": "s3://models/understudy",
            "credentialsSecret": "keys",
            "env": {"AWS_ENDPOINT_URL": "http://127.0.0.1:5555", "AWS_DEFAULT_REGION": "us-east-1"},
        },
    },
}
"""Those whose pods are run on this machine (containers.py): with one shared volume, and with an object store."""

CASES |= RUN

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a value that does not exist": ({"webb": {}}, "webb"),
    "a setting that does not exist": ({"settings": {"KEEP_VERSION": 3}}, "KEEP_VERSION"),
    "a setting out of bounds": ({"settings": {"KEEP_VERSIONS": 1}}, "KEEP_VERSIONS"),
    "a secret among the settings": ({"settings": {"ADMIN_TOKEN": "x"}}, "ADMIN_TOKEN"),
    "a setting of the chart's own": ({"settings": {"PORT": 80}}, "PORT"),
    "a choice that there is not": ({"settings": {"LOG_LEVEL": "LOUD"}}, "LOG_LEVEL"),
    "a key that understudy does not read": ({"secret": {"keys": ["AWS_SECRET_ACCESS_KEY"]}}, "keys"),
    "a secret of the object store as a value": ({"artifacts": {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "SECRET"),
    "an artifacts URL with a login": ({"artifacts": {"url": "s3://user:x@models"}}, "url"),
    "a file as the object store": ({"artifacts": {"url": "file:///models"}}, "url"),
    "no web process": ({"web": {"replicas": 0}}, "replicas"),
    "a container without a limit of memory": ({"web": {"resources": {"limits": {"memory": None}}}}, "memory"),
    "no Redis": ({"redis": {"enabled": False}}, "externalRedis.addresses"),
    "a password without REDIS_URL": ({"secret": {"keys": ["REDIS_PASSWORD"]}}, "REDIS_URL"),
    "a user of Redis without REDIS_URL": (
        {"redis": {"enabled": False}, "externalRedis": {"addresses": ["r:6379"], "username": "u"}},
        "REDIS_URL",
    ),
    "KEDA without an address to ask": (
        {**KEDA, "redis": {"enabled": False}, "secret": {"keys": ["REDIS_URL"]}},
        "externalRedis.addresses",
    ),
    "KEDA for files without an address to ask": (
        {**FILES, "redis": {"enabled": False}, "secret": {"keys": ["REDIS_URL"]}},
        "predictor.keda.trigger redis: set externalRedis.addresses",
    ),
    "KEDA without its Prometheus": ({"trainer": {"keda": {"enabled": True, "trigger": "prometheus"}}}, "prometheusUrl"),
}
"""What is wrong -> the values, and a word of the refusal."""
