# Sourced by the run scripts, from the repository root: makes the virtual environment in $VENV
# (default .venv) if it is not there, and installs the project into it, editable, with what the
# tests and the plots need. CONSTRAINTS may name a pip constraints file. A second run with an
# unchanged pyproject.toml installs nothing.
VENV="${VENV:-.venv}"
python="$VENV/bin/python"
installed="$VENV/.sk_qnbo-installed"

if ! "$python" -m pip --version >/dev/null 2>&1; then
    "${PYTHON:-python3}" -m venv --clear "$VENV"
fi
if [ ! -e "$installed" ] || [ pyproject.toml -nt "$installed" ]; then
    echo "Installing sk_qnbo and what it needs into $VENV; a minute, once." >&2
    "$python" -m pip install --quiet --disable-pip-version-check \
        ${CONSTRAINTS:+--constraint "$CONSTRAINTS"} --editable ".[test,plot]"
    touch "$installed"
fi

# Small arrays gain nothing from threads inside the linear algebra, and timings become noisy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
