#!/bin/sh
# Fails for any given file above 20 MB. Usage: check_sizes.sh FILE...
set -eu
status=0
for file in "$@"; do
    if [ "$(wc -c < "$file")" -gt 20971520 ]; then
        echo "error: $file is larger than 20 MB" >&2
        status=1
    fi
done
exit $status
