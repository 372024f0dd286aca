#!/usr/bin/env bash
# Installs what the tests need beside Go: the oracle (qemu-img, qemu-io), the compressors whose files must be read, and
# clients of DigitalOcean's API.
# On Debian and Ubuntu it installs what is missing when it may; elsewhere, and as an ordinary user, it says what is missing.
set -euo pipefail

declare -A package=(
  [qemu-img]=qemu-utils [qemu-io]=qemu-utils [pigz]=pigz [lbzip2]=lbzip2 [pbzip2]=pbzip2 [bzip2]=bzip2 [gzip]=gzip
  [qemu-system-x86_64]=qemu-system-x86 [curl]=curl [mkfs.ext4]=e2fsprogs [gcc]=gcc [mount]=mount
  [node]=nodejs [npm]=npm
)
if [ "${1:-}" = bench ]; then # what the benches compare with, and make their disks of
  package+=([debootstrap]=debootstrap [nginx]=nginx-light [igzip]=isal [zstd]=zstd [openssl]=openssl [sfdisk]=fdisk)
fi
missing=()
for tool in "${!package[@]}"; do
  PATH="$PATH:/sbin:/usr/sbin" command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
for module in digitalocean:python3-digitalocean libcloud:python3-libcloud ansible_collections/community/digitalocean:ansible; do
  [ -d "/usr/lib/python3/dist-packages/${module%%:*}" ] || missing+=("${module##*:}")
done
# QEMU reads URLs by a module that Debian has in a package of its own.
if command -v apt-get >/dev/null && ! compgen -G '/usr/lib/*/qemu/block-curl.so' >/dev/null; then
  missing+=(qemu-block-extra)
fi
[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing: ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Missing for the tests: ${missing[*]}. Tests that need them are skipped." >&2
  echo "  sudo apt-get install ${missing[*]}" >&2
  [ "${CI:-}" != true ]
fi
