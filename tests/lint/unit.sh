#!/bin/sh
# unit.sh PROGRAM...: runs each cmocka program, a line for each; the output of
# one that fails is shown whole.  A program that dies counts as one failure.
# PREFORK_UNDER: what each runs under, as valgrind.
set -u
passed=0 failed=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

count() { sed -n "s/^\[  $1  \] \([0-9]*\) test.*/\1/p" "$out" | awk '{ n += $1 } END { print n + 0 }'; }

for program; do
	# shellcheck disable=SC2086 -- a list of words
	${PREFORK_UNDER:-} "$program" >"$out" 2>&1
	status=$?
	p=$(count PASSED) f=$(count FAILED)
	if [ $status -ne 0 ] && [ "$f" = 0 ]; then f=1; fi
	if [ "$((p + f))" = 0 ]; then
		echo "it ran no test" >>"$out"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f))
	printf '%-28s %3d passed' "$(basename "$program")" "$p"
	if [ "$f" != 0 ]; then
		printf ', %d FAILED, exit status %d\n' "$f" "$status"
		cat "$out"
	else
		echo
	fi
done
echo "unit tests: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
