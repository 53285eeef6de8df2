"""The environment variables that MLflow reads when it is imported."""

import os

# One attempt per request, of at most ten seconds: our loop retries, so that a dead server delays nothing.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


def set_defaults() -> None:
    """No telemetry, bounded waits, quiet logging; called before mlflow is imported. The user's variables are kept."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
