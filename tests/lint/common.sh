#!/bin/sh
# Names each header of common/ that master and worker do not both use, be it
# through another header of common/ or conf/.
set -eu

# users SIDE: what of common/ the files of SIDE include, directly or not.
users() {
	found=$(grep -rhoE --include='*.[ch]' '"(common|conf)/[a-z_0-9]+\.h"' "$1" | tr -d '"' | sort -u)
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

master=$(users master)
worker=$(users worker)
bad=0
for h in common/*.h; do
	for side in master worker; do
		eval "list=\$$side"
		if ! echo "$list" | grep -qx "$h"; then
			echo "$h: $side/ does not use it"
			bad=1
		fi
	done
done
exit $bad
