#!/bin/sh
# deps.sh build|check|ci|differential|valgrind ...: are the packages for these purposes here?
# Looks for the very headers and commands first.  What is missing is installed
# on Debian and Ubuntu, as root or through sudo; anywhere else, and for users
# who may not, the packages are named and the exit status is 1.
set -eu

CC=${CC:-cc}
missing=

# purpose: one line per thing: probe, then its package for apt, dnf, pacman, apk
things_build='
cmd:cc               gcc               gcc               gcc         build-base
header:stdio.h       libc6-dev         glibc-devel       glibc       musl-dev
cmd:pkg-config       pkg-config        pkgconf-pkg-config pkgconf    pkgconf
header:ev.h          libev-dev         libev-devel       libev       libev-dev
header:ini.h         libinih-dev       inih-devel        libinih     inih-dev
pc:libseccomp        libseccomp-dev    libseccomp-devel  libseccomp   libseccomp-dev
pc:python3-embed     python3-dev       python3-devel     python      python3-dev
'
things_check='
header:cmocka.h      libcmocka-dev     libcmocka-devel   cmocka      cmocka-dev
python:pytest        python3-pytest    python3-pytest    python-pytest py3-pytest
python:xdist         python3-pytest-xdist python3-pytest-xdist python-pytest-xdist py3-pytest-xdist
python:ensurepip     python3-venv      python3-libs      python      python3
cmd:clang-format     clang-format      clang-tools-extra clang       clang-extra-tools
cmd:mandoc           mandoc            mandoc            mandoc      mandoc
cmd:curl             curl              curl              curl        curl
cmd:ps               procps            procps-ng         procps-ng   procps
'
things_ci='
cmd:git              git               git               git         git
cmd:clang            clang             clang             clang       clang
fuzzer:clang         libclang-rt-14-dev compiler-rt      compiler-rt compiler-rt
cmd:clang-tidy       clang-tidy        clang-tools-extra clang       clang-extra-tools
cmd:cppcheck         cppcheck          cppcheck          cppcheck    cppcheck
cmd:systemd-analyze  systemd           systemd           systemd     systemd
cmd:haproxy          haproxy           haproxy           haproxy     haproxy
cmd:nginx            nginx-light       nginx             nginx       nginx
cmd:chromium         chromium          chromium          chromium    chromium
'
things_differential='
cmd:nginx            nginx-light       nginx             nginx       nginx
cmd:apache2          apache2           httpd             apache      apache2
cmd:haproxy          haproxy           haproxy           haproxy     haproxy
python:gunicorn      python3-gunicorn  python3-gunicorn  gunicorn    py3-gunicorn
'
things_valgrind='
cmd:valgrind         valgrind          valgrind          valgrind    valgrind
'

# Prints nothing: the caller wants a yes or a no.
have() {
	case $1 in
	cmd:*) PATH=$PATH:/usr/sbin:/sbin command -v "${1#*:}" ;;
	pc:*) pkg-config --exists "${1#*:}" ;;
	fuzzer:*)
		echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
			"${1#*:}" -fsanitize=fuzzer -x c -o /dev/null - ;;
	header:*)
		printf '#include <stddef.h>\n#include <stdarg.h>
			#include <stdint.h>\n#include <setjmp.h>
			#include <%s>\n' "${1#*:}" | "$CC" -E $(flags) - ;;
	python:*) "$(python)" -c "import ${1#*:}" ;;
	esac >/dev/null 2>&1
}

flags() {
	pkg-config --cflags libev inih cmocka 2>/dev/null || :
	if [ -d /usr/include/libev ]; then echo -I/usr/include/libev; fi
}

python() {
	if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else echo python3; fi
}

# column NUMBER: the packages of what is missing, each once, in one line.
column() {
	printf '%s' "$missing" | awk -v n="$1" '!seen[$n]++ { printf " %s", $n }'
}

for purpose; do
	eval "things=\$things_$purpose"
	while read -r probe rest; do
		[ -z "$probe" ] || have "$probe" ||
			missing="$missing$probe $rest
"
	done <<-END
	$things
	END
done
[ -n "$missing" ] || exit 0

name() {
	cat >&2 <<-END
	prefork: these packages are missing. Install them, then try again:
	  Debian, Ubuntu:  apt-get install$(column 2)
	  Fedora:          dnf install$(column 3)
	  Arch:            pacman -S$(column 4)
	  Alpine:          apk add$(column 5)
	END
	exit 1
}

command -v apt-get >/dev/null 2>&1 || name
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	sudo=sudo
elif command -v sudo >/dev/null 2>&1 && [ -t 0 ] && [ -t 1 ]; then
	sudo=sudo # asks for the password
else
	name
fi

packages=$(column 2)
echo "prefork: installing$packages"
export DEBIAN_FRONTEND=noninteractive
install() {
	# shellcheck disable=SC2086 -- a list of words
	$sudo apt-get install -y --no-install-recommends $packages
}
# The package lists may be absent or out of date: fetch them and try again.
if ! install >/dev/null 2>&1; then
	$sudo apt-get update
	install || name
fi
