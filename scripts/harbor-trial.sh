#!/usr/bin/env bash
# Runs the own packages of Harbor and of the OpenAI Agents SDK with real guests. They are fetched from the Python registry
# that pip is set up for.
#
#   scripts/harbor-trial.sh      (HARBOR_TRIALS=6 trials in a job, HARBOR_AT_ONCE=3 of them at once)
set -euo pipefail
cd "$(dirname "$0")/.."

# Harbor needs Python 3.12, and nothing else of this repository does.
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }
python=
for one in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
    if [ -n "$one" ] && command -v "$one" >/dev/null && fits "$one"; then
        python=$one
        break
    fi
done
if [ -z "$python" ]; then
    printf 'harbor-trial: Harbor needs Python 3.12 or newer; name one as PYTHON=/path/of/python3\n' >&2
    exit 1
fi

venv=$PWD/${CARGO_TARGET_DIR:-target}/harbor-venv
case ${CARGO_TARGET_DIR:-} in /*) venv=$CARGO_TARGET_DIR/harbor-venv ;; esac
if ! "$venv/bin/python" -c 'import harbor, agents' 2>/dev/null; then
    printf 'harbor-trial: installing harbor and openai-agents into %s\n' "$venv"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet 'harbor>=0.26,<0.27' 'openai-agents>=0.24,<0.25'
fi

export BANGER_HARBOR_PYTHON=$venv/bin/python
exec scripts/test.sh --workspace --run-ignored only --no-capture -E 'test(harbor_and_agents)'
