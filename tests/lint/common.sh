#!/bin/sh
# Names each header of common/ that only one program uses, be it through another
# header of common/ or conf/: the master, the workers, preforkctl.
set -eu

# users FILE...: what of common/ these include, directly or not.
users() {
	found=$(grep -hoE '"(common|conf)/[a-z_0-9]+\.h"' "$@" | tr -d '"' | sort -u)
	while :; do
		more=$({ echo "$found"
			for h in $found; do
				[ ! -f "$h" ] || grep -ohE '"(common|conf)/[a-z_0-9]+\.h"' "$h" | tr -d '"'
				c=${h%.h}.c
				[ ! -f "$c" ] || grep -ohE '"(common|conf)/[a-z_0-9]+\.h"' "$c" | tr -d '"'
			done; } | sort -u)
		[ "$more" != "$found" ] || break
		found=$more
	done
	echo "$found"
}

master=$(users master/*.[ch])
preforkctl=$(users master/preforkctl/*.[ch])
# shellcheck disable=SC2046 -- names without spaces
worker=$(users $(find worker -name '*.[ch]'))
bad=0
for h in common/*.h; do
	used=0
	for list in "$master" "$worker" "$preforkctl"; do
		if echo "$list" | grep -qx "$h"; then used=$((used + 1)); fi
	done
	if [ $used -lt 2 ]; then
		echo "$h: not used by two of master, worker and preforkctl"
		bad=1
	fi
done
exit $bad
