#!/usr/bin/env bash
# Lint and test; makes its virtual environment first. Arguments go to pytest.
#   VENV=folder          where the environment is (default .venv)
#   CONSTRAINTS=file     pip constraints, such as tests/oldest.txt
#   LINT=no              leave ruff out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/venv.sh

if [ "${LINT:-yes}" != no ]; then
    "$python" -m ruff check .
    "$python" -m ruff format --check .
fi
"$python" -m pytest "$@"
