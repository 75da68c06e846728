#!/bin/sh
# docs.sh TOOLS DIRECTORY: writes the generated documents below DIRECTORY.
set -eu
tools=$1
out=$2

# Puts the output of a command in place of the line .\" @NAME@ of a template.
fill() {
	part=$(mktemp)
	mark=$1
	shift
	"$@" >"$part"
	sed -e "/^\.\\\\\" @$mark@\$/{
		r $part
		d
	}"
	rm -f "$part"
}

"$tools/conf/docgen" ini >"$out/conf/server.ini"
"$tools/conf/docgen" man <man/prefork.ini.5.in >"$out/man/prefork.ini.5"
fill OPTIONS "$tools/master/docgen" options <man/prefork.8.in |
	fill SIGNALS "$tools/master/docgen" signals >"$out/man/prefork.8"
fill OPTIONS "$tools/master/docgen" ctl-options <man/preforkctl.1.in |
	fill VERBS "$tools/master/docgen" verbs |
	fill STATUS "$tools/master/docgen" status-fields |
	fill LISTENER "$tools/master/docgen" listener-fields |
	fill WORKER "$tools/master/docgen" worker-fields >"$out/man/preforkctl.1"
