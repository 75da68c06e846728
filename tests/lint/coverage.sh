#!/bin/sh
# coverage.sh BUILD SOURCE...: lines and branches reached, per file and in all.
# Fails if it is not all of those in $WHOLE.
set -eu
build=$1
shift
for c; do
	o=$build/obj/${c%.c}
	if [ -f "$o.gcda" ]; then
		gcov -n -b -o "$(dirname "$o")" "$o.o" 2>/dev/null | grep -A3 -F "File '$c'" | tr -d '%' | awk -F'[: ]' -v c="$c" '
			/^Lines/ { l = $3; n = $5 }
			/^Taken/ { b = $5; m = $7 }
			END { print l + 0, n + 0, m ? b : 100, m + 0, c }'
	else
		echo "0 $(grep -c ';' "$c") 0 0 $c"
	fi
done | sort -n | WHOLE=${WHOLE-} awk '
	{ printf "%6.1f%% of %4d lines  %6.1f%% of %4d branches  %s\n", $1, $2, $3, $4, $5
	  hit += $1 * $2; all += $2; bhit += $3 * $4; ball += $4 }
	index(" " ENVIRON["WHOLE"] " ", " " $5 " ") && ($1 < 100 || $3 < 100) { part = part " " $5 }
	END { if (all) printf "%6.1f%% of %4d lines  %6.1f%% of %4d branches  in all\n", hit / all, all, ball ? bhit / ball : 100, ball
	      if (part) { print "not all is reached of" part; exit 1 } }'
