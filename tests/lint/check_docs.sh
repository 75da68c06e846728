#!/bin/sh
# check_docs.sh TOOLS: the generated documents are what their generators write
# today, the man pages parse, no function of the ABI is left out, and what
# prefork-migrate(7) says of prefork is in the tables.
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

# words MACRO PAGE: what stands behind a macro of mdoc, a word a line.
words() {
	awk -v macro="$1" '
		/^\.[A-Z]/ {
			sub(/^\./, "")
			for (i = 1; i <= NF; i++) {
				if ($i == macro)
					on = 1
				else if ($i ~ /^([A-Z][a-z]|Ns|No)$/)
					on = 0
				else if (on && $i !~ /^[][().,:;|?!]$/)
					print $i
			}
			on = 0
		}' "$2" | sort -u
}

# known WHAT TABLE: the words of stdin are lines of the table.
known() {
	unknown=0
	while read -r word; do
		printf '%s\n' "$2" | grep -qxF -e "$word" || {
			echo "$page: $1 $word does not exist" >&2
			unknown=1
		}
	done
	return $unknown
}

page=man/prefork-migrate.7
row='[(]\([a-z_]*\), *\([a-z_]*\).*'
settings=$(sed -n -e "s/^SETTING$row/\1.\2/p" \
	-e 's/^APP_SETTING[(]\([a-z_]*\),.*/app.\1/p' conf/settings.def
	echo server.env.NAME
	echo app.option.NAME)
signals=$(sed -n 's/^SIGNAL([A-Z0-9]*, "\([A-Z0-9]*\)".*/\1/p' \
	master/signals.def)
options=$(sed -n "s/^OPTION('\(.\)'.*/\1/p" master/options.def)
verbs=$(sed -n 's/^CONTROL_VERB(\([a-z]*\),.*/\1/p' common/control_verbs.def)
words Ic $page | known 'the setting' "$settings" || bad=1
# those of command lines, and that no section is forgotten
grep -oE '(^|[ .])-o [a-z]+[.][A-Za-z_.]+' $page | sed 's/.* //' |
	known 'the setting' "$settings" || bad=1
for section in $(printf '%s\n' "$settings" | sed 's/[.].*//' | sort -u); do
	words Ic $page | grep -q "^$section[.]" || {
		echo "$page: nothing about the section $section" >&2
		bad=1
	}
done
for name in $(sed -n 's/.*variable(environment, "\([A-Z_]*\)").*/\1/p' \
	conf/load_environment.c); do
	words Ev $page | grep -qx "$name" || {
		echo "$page: nothing about the variable $name" >&2
		bad=1
	}
done
words Dv $page | known 'the signal' "$signals" || bad=1
words Fl $page | known 'the option' "$options" || bad=1
sed -n '/^\.\\"/!s/.*preforkctl \(--json \)\{0,1\}\([a-z][a-z]*\).*/\2/p' $page |
	known 'the verb' "$verbs" || bad=1
exit $bad
