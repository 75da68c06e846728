#!/bin/sh
# fuzz.sh SECONDS FUZZER...: each for so long, two at a time, starting from its
# seeds in tests/fuzz/seed or else from tests/http.  A finding is left in
# build/fuzz/ and ends with status 1.
set -eu
seconds=$1
shift
dir=build/fuzz
mkdir -p "$dir/http"
find tests/http -type f -name '*.http' -exec cp {} "$dir/http" \;

one() {
	name=$(basename "$1")
	mkdir -p "$dir/corpus/$name"
	seed=tests/fuzz/seed/$name
	[ -d "$seed" ] || seed=$dir/http
	dict=tests/fuzz/$name.dict
	# shellcheck disable=SC2046 -- no dictionary, no argument
	if "$1" $([ ! -f "$dict" ] || echo "-dict=$dict") -max_total_time="$2" -timeout=10 -max_len=65536 \
		-print_final_stats=1 -artifact_prefix="$dir/$name-" \
		"$dir/corpus/$name" "$seed" >"$dir/$name.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$name.log")
		echo "$name: $runs inputs, no finding"
	else
		cat "$dir/$name.log" >&2
		echo "$name: FOUND SOMETHING" >&2
		return 1
	fi
}

[ $# -gt 0 ] || { echo "no fuzz targets" >&2; exit 1; }
status=0
while [ $# -gt 0 ]; do
	one "$1" "$seconds" &
	first=$!
	shift
	if [ $# -gt 0 ]; then
		one "$1" "$seconds" || status=1
		shift
	fi
	wait "$first" || status=1
done
exit $status
