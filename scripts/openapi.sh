#!/bin/sh
# Rewrites openapi/openapi.json; the old file stays when generation fails.
set -eu
mkdir -p openapi
.venv/bin/maskserve openapi > openapi/.openapi.json.new
mv openapi/.openapi.json.new openapi/openapi.json
