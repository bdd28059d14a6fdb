#!/bin/sh
# Asks the server at $URL for files, and compares what comes with the sealed source.
set -eu

for file in LICENSE README.md screenshot.png; do
    curl --fail --silent --show-error "$URL/$file" | cmp - "$file"
    echo "$file: as in the source"
done

part=$(curl --fail --silent --show-error --range 0-10 "$URL/LICENSE")
test "$part" = "$(head -c 11 LICENSE)"
echo "a range of bytes: as in the source"
