#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh - the headers a QOM device needs for one stock Debian QEMU.
#
# They come from the source package that the binary was built from, with its
# patches (Debian keeps stable updates as patches, and those move structure
# members). No configure, no meson, no build: the QAPI headers are generated,
# and config-host.h is the little that decides structure layouts.
#
# Cached under ${XDG_CACHE_HOME:-$HOME/.cache}/apple-dma/qemu-headers/<version>.

set -euo pipefail

# Raised when what is prepared from the same source changes.
recipe=1

die() { echo "headers.sh: $*" >&2; exit 1; }

usage() {
	cat <<'USAGE'
usage: headers.sh QEMU             prepare the headers, print their directory
       headers.sh --key QEMU       print the source version, usable in a path
       headers.sh --version QEMU   print the version, as the binary reports it

  QEMU  a qemu-system-* binary of a Debian package
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
apt_private=$here/../../scripts/apt-private

print=dir
case ${1:-} in
--key) print=key; shift ;;
--version) print=version; shift ;;
-h|--help) usage; exit 0 ;;
esac
[ $# -eq 1 ] || { usage >&2; die "one QEMU binary is needed"; }
qemu=$1

command -v "$qemu" >/dev/null ||
	die "there is no QEMU '$qemu'; scripts/setup vm installs Debian's"
# What the binary says of itself, not what the package data base says: this is
# also right for a QEMU that was unpacked somewhere else.
banner=$(timeout 60 "$qemu" -version 2>/dev/null | head -n 1) || true
full=$(sed -nE 's/^QEMU emulator version ([0-9.]+ \(Debian [^ )]+\)).*/\1/p' <<<"$banner")
[ -n "$full" ] ||
	die "'$qemu' is not a Debian QEMU (it says '${banner:-nothing}');" \
	    "the headers must be those of its source package"
# A binary-only rebuild (+bN) has the same source.
full=$(sed -E 's/\+b[0-9]+\)$/)/' <<<"$full")
triple=${full%% *}
source_version=$(sed -E 's/.*\(Debian (.*)\)$/\1/' <<<"$full")
key=${source_version#*:}

case $print in
key) echo "$key"; exit 0 ;;
version) echo "$full"; exit 0 ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/apple-dma/qemu-headers
out=$cache/$key
stamp="recipe $recipe $(uname -m)"
complete() { [ "$(cat "$out/complete" 2>/dev/null)" = "$stamp" ]; }

complete && { echo "$out"; exit 0; }
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
complete && { echo "$out"; exit 0; }

work=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() { # the source package of this version, from the first suite that has it
	local home suite
	home=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	for suite in "$home" "$home-backports" trixie trixie-backports forky sid; do
		(cd "$work" && "$apt_private" --suite "$suite" -- apt-get -qq source \
			--download-only "qemu=$source_version") >>"$work/log" 2>&1 && return
	done
	(cd "$work" && "$apt_private" --refresh -- apt-get -qq source \
		--download-only "qemu=$source_version") >>"$work/log" 2>&1
}

echo "headers.sh: preparing the headers of QEMU $full" >&2
fetch || { sort -u "$work/log" >&2
	die "no suite of the mirror gives the source of qemu $source_version"; }

src=$work/src
mkdir "$src"
orig=$(find "$work" -maxdepth 1 -name 'qemu_*.orig.tar.xz')
debian=$(find "$work" -maxdepth 1 -name 'qemu_*.debian.tar.xz')
if [ -z "$orig" ] || [ -z "$debian" ]; then
	die "unexpected files in the source package of qemu $source_version"
fi
# Some of these are missing in some series: what is needed is checked below.
tar -C "$src" --strip-components=1 --wildcards --no-wildcards-match-slash -xJf "$orig" \
	'*/include' '*/qapi' '*/scripts/qapi' '*/scripts/qapi-gen.py' '*/linux-headers' \
	'*/host' '*/VERSION' 2>"$work/log" || true
tar -C "$src" -xJf "$debian" debian/patches
for part in include/qemu/osdep.h scripts/qapi-gen.py; do
	[ -e "$src/$part" ] || die "the source of qemu $source_version has no $part"
done

# The parts of a patch that concern what is unpacked.
ours() {
	awk '
	function flush() { if (keep) printf "%s", part; part = ""; keep = 0; old = "" }
	/^diff --git / { flush() }
	/^--- / { if (!(part ~ /^diff --git [^\n]*\n/ && !seen)) flush(); seen = 1; old = $2 }
	/^diff --git / { seen = 0 }
	/^\+\+\+ / {
		name = ($2 == "/dev/null") ? old : $2
		sub(/^[^\/]*\//, "", name)
		keep = name ~ /^(include|qapi|scripts\/qapi|linux-headers|host)\// || name == "VERSION"
	}
	{ part = part $0 "\n" }
	END { flush() }' "$1"
}
sed -E 's/[[:space:]]*(#.*)?$//; /^$/d' "$src/debian/patches/series" |
while read -r name _; do
	ours "$src/debian/patches/$name" >"$work/patch"
	[ ! -s "$work/patch" ] ||
		patch -d "$src" -p1 -s -f --no-backup-if-mismatch <"$work/patch" >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; die "debian/patches/$name does not apply"; }
done
[ "$(cat "$src/VERSION")" = "$triple" ] ||
	die "the source of qemu $source_version says $(cat "$src/VERSION"), the binary $triple"

gen=$work/gen
mkdir -p "$gen/qapi"
(cd "$src" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=scripts \
	/usr/bin/python3 scripts/qapi-gen.py -o "$gen/qapi" -b qapi/qapi-schema.json) >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; die "the QAPI headers of qemu $source_version could not be generated"; }
find "$gen/qapi" -name '*.c' -delete
: >"$gen/config-poison.h"
# Without CONFIG_INT128 the layout of MemoryRegion is another one.
{
	echo "#define HOST_$(uname -m | tr '[:lower:]' '[:upper:]') 1"
	for flag in CONFIG_POSIX CONFIG_LINUX CONFIG_TCG CONFIG_PLUGIN CONFIG_MODULES \
		CONFIG_IOVEC CONFIG_INT128 CONFIG_INT128_TYPE CONFIG_ATOMIC64 \
		CONFIG_SYSMACROS CONFIG_BYTESWAP_H CONFIG_MALLOC_TRIM CONFIG_PPOLL \
		CONFIG_MADVISE CONFIG_POSIX_MEMALIGN CONFIG_CLOSE_RANGE CONFIG_GETCPU \
		CONFIG_GETRANDOM HAVE_OPENAT2_H HAVE_COPY_FILE_RANGE HAVE_STRCHRNUL \
		HAVE_SYSTEM_FUNCTION; do
		echo "#define $flag 1"
	done
} >"$gen/config-host.h"

mkdir "$work/out"
mv "$src/include" "$gen" "$work/out/"
for part in linux-headers host; do
	[ ! -e "$src/$part" ] || mv "$src/$part" "$work/out/"
done
echo "$stamp" >"$work/out/complete"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
