#!/bin/sh
# make-venv.sh PYTHON FOLDER: a virtual environment, or a sentence that says why not and what next.
set -eu
python=$1 folder=$2

if ! command -v "$python" >/dev/null; then
    echo "There is no '$python' here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "gpuspawner needs Python 3.11 or newer; $python is $("$python" -V)." \
        "Name a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    echo "$python cannot make virtual environments: its module ensurepip is missing." \
        "On Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
fi
echo "Making the virtual environment $folder with $("$python" -V)."
"$python" -m venv "$folder"
