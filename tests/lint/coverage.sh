#!/bin/sh
# coverage.sh BUILD SOURCE...: lines reached, per file and in all.
set -eu
build=$1
shift
for c; do
	o=$build/obj/${c%.c}
	if [ -f "$o.gcda" ]; then
		gcov -n -o "$(dirname "$o")" "$o.o" 2>/dev/null |
			grep -A1 -F "File '$c'" | sed -n "s|^Lines executed:\([0-9.]*\)% of \([0-9]*\)|\1 \2 $c|p"
	else
		echo "0 $(grep -c ';' "$c") $c"
	fi
done | sort -n | awk '
	{ printf "%6.1f%% of %4d  %s\n", $1, $2, $3; hit += $1 * $2; all += $2 }
	END { if (all) printf "%6.1f%% of %4d  in all\n", hit / all, all }'
