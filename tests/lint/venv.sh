#!/bin/sh
# venv.sh DIRECTORY REQUIREMENTS: a virtual environment of the system's Python
# with these packages, each with the hash that the file gives.  DIRECTORY/.stamp
# says that it is whole.  Without a package index there is none, and the status
# is 0 all the same: only what needs the packages is to fail.
set -eu

directory=$1 requirements=$2
python=/usr/bin/python3
[ -x "$python" ] || python=python3

rm -rf "$directory"
if "$python" -m venv "$directory" && "$directory/bin/python3" -m pip install \
	--quiet --disable-pip-version-check --no-input --require-hashes \
	--only-binary :all: -r "$requirements"; then
	touch "$directory/.stamp"
	exit 0
fi
rm -rf "$directory"
cat >&2 <<-END
	prefork: $directory cannot be made: pip did not get the packages of
	  $requirements, for the reason above.  What needs them will fail.
END
