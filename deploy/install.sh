#!/bin/sh
# Install the service without PyTorch into a virtual environment: deploy/install.sh FOLDER
# The container file runs it, and so can you, on a machine with Python 3.11 or later. It also updates such a folder.
set -eu
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is older than Python 3.11" >&2; exit 1; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
# built from a copy: a build folder here would belong to root, and files of earlier builds would be installed again
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r pyproject.toml setup.py README.md LICENSE translate configs "$copy"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --no-cache-dir --constraint constraints.txt \
    --requirement deploy/requirements.txt
# without dependencies: those of training are not needed
"$folder/bin/python" -m pip install --quiet --no-cache-dir --no-deps --force-reinstall "$copy"
"$folder/bin/python" -m translate.serve --version
