#!/bin/sh
# Install the service without PyTorch into a virtual environment: deploy/install.sh FOLDER
# The container file runs it, and so can you, on a machine with Python 3.11 or later.
set -eu
cd "$(dirname "$0")/.."
python3 -m venv "$1"
"$1/bin/python" -m pip install --quiet --no-cache-dir --constraint constraints.txt --requirement deploy/requirements.txt
# without dependencies: those of training are not needed
"$1/bin/python" -m pip install --quiet --no-cache-dir --no-deps .
"$1/bin/python" -m translate.serve --version
