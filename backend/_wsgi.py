"""Entry point for label-studio-ml 2.x: `label-studio-ml start backend`, or `gunicorn backend._wsgi:app`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def find_packages() -> None:
    """Run as a script, this directory comes first on the path, and its label_studio_ml.py would hide the package."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))


def make_app(user: str | None = None, password: str | None = None) -> Any:
    """That package's Flask application over our model."""
    from label_studio_ml.api import init_app

    from backend.cpu import bound_shape_caches
    from backend.errors import SettingsError
    from backend.processes.label_studio_ml import BertClassifier
    from backend.settings.settings import Settings, current_settings

    try:
        current_settings()
    except SettingsError as error:
        print(f"Error: {error.message}", file=sys.stderr, flush=True)
        raise SystemExit(4) from None  # gunicorn's "application failed to load": do not start again in a loop

    bound_shape_caches(Settings.environ())
    return init_app(model_class=BertClassifier, basic_auth_user=user, basic_auth_pass=password)


def main() -> None:
    """The arguments that `label-studio-ml start` passes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--port", type=int, default=9090)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("-d", "--debug", action="store_true")
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--basic-auth-user")
    parser.add_argument("--basic-auth-pass")
    arguments, _ = parser.parse_known_args()
    app = make_app(arguments.basic_auth_user, arguments.basic_auth_pass)
    app.run(host=arguments.host, port=arguments.port, threaded=True)


find_packages()
if __name__ == "__main__":
    main()
else:
    app = make_app()
