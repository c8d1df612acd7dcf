#!/bin/sh
# Install the service without PyTorch into a virtual environment: deploy/install.sh FOLDER
# The container file runs it, and so can you, with Python 3.11 or later (PYTHON=/path/to/python3.11). It also updates
# such a folder.
set -eu
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "$python is no Python 3.11 or later: PYTHON=/path/to/python3.11 $0 $1" >&2; exit 1; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
# built from a copy: a build folder here would belong to root, and files of earlier builds would be installed again
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r pyproject.toml setup.py README.md LICENSE translate configs "$copy"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --no-cache-dir --constraint constraints.txt \
    --requirement deploy/requirements.txt
# without dependencies: those of training are not needed
"$folder/bin/python" -m pip install --quiet --no-cache-dir --no-deps --force-reinstall "$copy"
"$folder/bin/python" -m translate.serve --version
