#!/bin/bash
# What a stranger meets: a bare Debian 12 under build/fresh, without compiler
# and libraries, into which a clean copy of HEAD is laid.
#   1. an ordinary user: make run and make check name the packages and stop
#   2. root: make run, asked by curl; make check
#   3. an ordinary user: the same, now that the packages are there
# Run it as root, with debootstrap; the package source is the one this machine
# uses.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
	echo "check-fresh: run it as root, with debootstrap installed" >&2
	exit 1
fi

root=$PWD/build/fresh/root
mounts=(proc dev/shm dev/pts)

unmount() {
	for m in "${mounts[@]}"; do
		! mountpoint -q "$root/$m" || umount -l "$root/$m"
	done
}
trap unmount EXIT
trap 'exit 1' HUP INT TERM
unmount

# The host's own package source: deb822 or one-line.
mirror=$({ sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
	sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm main.*/\2/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.list
} 2>/dev/null | grep -E '/debian/?$' | head -n 1 || :)
if [ -z "$mirror" ]; then
	echo "check-fresh: apt names no Debian archive here" >&2
	exit 1
fi

rm -rf --one-file-system build/fresh
mkdir -p "$root"
debootstrap --variant=minbase --include=make,ca-certificates bookworm "$root" \
	"$mirror" >build/fresh/debootstrap.log 2>&1 || {
	tail -n 20 build/fresh/debootstrap.log >&2
	exit 1
}
# How this machine reaches the archive: proxies and the like.
grep -lsr '^ *Acquire' /etc/apt/apt.conf /etc/apt/apt.conf.d |
	xargs -rI{} cp -L {} "$root/etc/apt/apt.conf.d/" || :
# And the package index of Python: pip's settings, and whom it trusts.
[ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$root/etc/"
find /usr/local/share/ca-certificates/ -name '*.crt' -exec \
	cp -L {} "$root/usr/local/share/ca-certificates/" \; || :
chroot "$root" update-ca-certificates >/dev/null
chroot "$root" useradd -m -s /bin/sh stranger
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mkdir -p "$root/dev/shm" "$root/dev/pts"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"

# copy OWNER DIRECTORY: HEAD as a clean tree.
copy() {
	rm -rf "${root:?}$2"
	mkdir -p "$root$2"
	git archive HEAD | tar -x -C "$root$2"
	chroot "$root" chown -R "$1:" "$2"
}

# as USER COMMAND: inside, by a shell.
as() {
	chroot "$root" env -i HOME=/tmp LC_ALL=C \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
		setpriv --reuid="$1" --regid="$1" --init-groups sh -ec "$2"
}

say() { printf '\n=== %s\n' "$1"; }

# serves USER DIRECTORY: does make run serve?  In a network of its own, where
# port 8000 is free; all its processes end with it.
serves() {
	export root
	export -f as
	unshare --net --pid --fork --kill-child bash -euc '
		ip link set lo up
		as "$0" "cd $1 && make run" &
		until curl -fs -o /dev/null http://127.0.0.1:8000/; do
			kill -0 $!
			sleep 0.5
		done
		curl -fsS http://127.0.0.1:8000/ | grep -i "<title>"
		curl -fsS http://127.0.0.1:8000/hello
		curl -fsS -d "said and heard" http://127.0.0.1:8000/echo
		echo
	' "$1" "$2"
}

# refuses TARGET: an ordinary user without the packages is told their names.
refuses() {
	local said
	if said=$(as stranger "cd /home/stranger/src && make $1" 2>&1); then
		echo "check-fresh: make $1 did not stop" >&2
		exit 1
	fi
	echo "$said"
	for name in libev-dev libev-devel libinih inih-dev; do
		grep -q "$name" <<<"$said"
	done
}

copy stranger /home/stranger/src
copy root /root/src
say 'an ordinary user, nothing installed: make run'
refuses run
say 'an ordinary user, nothing installed: make check'
refuses check

say 'root: what make run installs'
as root 'cd /root/src && make deps'
say 'root: make run'
serves root /root/src
say 'root: make check'
as root 'cd /root/src && make check'

say 'an ordinary user: make check'
as stranger 'cd /home/stranger/src && make check'
say 'an ordinary user: make run'
serves stranger /home/stranger/src
say 'check-fresh: passed'
