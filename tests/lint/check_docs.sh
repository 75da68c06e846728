#!/bin/sh
# check_docs.sh TOOLS: the generated documents are what their generators write
# today, the man pages parse, and no function of the ABI is left out.
set -eu
tools=$1
bad=0
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

mkdir -p "$fresh/conf" "$fresh/man"
cp conf/server.ini "$fresh/conf/"
cp man/*.[0-9] "$fresh/man/"
tests/lint/docs.sh "$tools" "$fresh"
for f in conf/server.ini man/prefork.8 man/prefork.ini.5 man/preforkctl.1; do
	diff -u "$f" "$fresh/$f" || {
		echo "$f: not what its generator writes; run make docs" >&2
		bad=1
	}
done

mandoc -Tlint -Wwarning man/*.[0-9] || bad=1

for name in $(grep -oE '\(\*[a-z_]+\)\(' worker/include/prefork/module.h |
	tr -d '(*)' | sort -u); do
	grep -qw "$name" man/prefork_module.3 || {
		echo "man/prefork_module.3: nothing about $name" >&2
		bad=1
	}
done
exit $bad
