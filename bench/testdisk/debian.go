// Package testdisk makes the disks that the benches measure with: an installed Debian in a GPT and an ext4 file system, and
// the same one as later nights would build it, with some packages changed. What it has made it keeps and uses again.
package testdisk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Size is how much is installed.
type Size string

// The sizes. Large is Small and more, so that Small is installed first.
const (
	Small Size = "small" // a cloud image's packages: 0.6 GB in 18 thousand files
	Large Size = "large" // with compilers, databases and an office suite: 2.6 GB
)

var packages = map[Size]string{
	Small: "systemd-sysv linux-image-cloud-amd64 initramfs-tools openssh-server cloud-init cloud-guest-utils grub-pc-bin grub2-common " +
		"vim-tiny less curl ca-certificates sudo locales man-db iproute2 netbase ifupdown isc-dhcp-client python3 python3-apt " +
		"unattended-upgrades rsync git perl dbus e2fsprogs gdisk tmux htop nginx-light postgresql-client",
	Large: "build-essential default-jdk-headless postgresql mariadb-server clang nodejs python3-pandas libreoffice-calc emacs-nox " +
		"texlive-latex-base gdb",
}

// install needs debootstrap and root. Packages are installed without starting anything, in a mount namespace of their
// own, so that nothing stays mounted whatever happens; what a builder of images leaves out is left out.
const install = `set -e
[ "$(id -u)" = 0 ] || { echo "installing a Debian needs root (sudo)"; exit 1; }
mkdir -p $work/debs
rm -rf $tree.part
if [ -n "$from" ]; then cp -a $from $tree.part; else debootstrap --variant=minbase --cache-dir=$work/debs bookworm $tree.part; fi
printf '#!/bin/sh\nexit 101\n' > $tree.part/usr/sbin/policy-rc.d
chmod 755 $tree.part/usr/sbin/policy-rc.d
cp /etc/resolv.conf $tree.part/etc/resolv.conf
export t=$tree.part DEBIAN_FRONTEND=noninteractive LC_ALL=C
unshare -m sh -e -c 'mount --make-rprivate /
mount --bind $work/debs $t/var/cache/apt/archives
mount -t proc proc $t/proc
mount -t tmpfs tmpfs $t/tmp
[ -z "$from" ] || chroot $t apt-get update -q
chroot $t apt-get install -y -q --no-install-recommends -o APT::Keep-Downloaded-Packages=true $packages'
rm -rf $t/var/lib/apt/lists/* $t/var/cache/apt/*.bin $t/usr/sbin/policy-rc.d
mv $t $tree`

// Debian returns the folder of an installed Debian 12, which takes some minutes to make and 122 MB (Large: 1 GB) to fetch the
// first time. Nobody may change it.
func Debian(ctx context.Context, work string, size Size) (tree string, err error) {
	tree = filepath.Join(work, "debian-"+string(size))
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	from := ""
	if size == Large {
		if from, err = Debian(ctx, work, Small); err != nil {
			return "", err
		}
	}
	fmt.Fprintln(os.Stderr, "installing a Debian in", tree)
	return tree, Script(ctx, install, "work="+work, "tree="+tree, "from="+from, "packages="+packages[size])
}

// Script runs a shell script; what it prints is in the error.
func Script(ctx context.Context, script string, env ...string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin"), env...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
}
