#!/usr/bin/env bash
# The main job on real data: tune by gradient, beside GridSearchCV. Makes its virtual environment first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/venv.sh

MPLBACKEND="${MPLBACKEND:-Agg}" "$python" examples/plot_against_grid_search.py "$@"
