#!/bin/sh
# Makes the root file system that the stand-ins have in common, Debian 12 at its smallest, as a tar archive.
#
#     make.sh CERTIFICATES ARCHIVE
#
# CERTIFICATES is the file of certificate authorities that this machine trusts; networks with an authority of their own are
# found where there is no registry, and programs in containers are to reach the same places. Needs to be root.
set -eu

certificates=$1
archive=$2
mirror=http://deb.debian.org

# Beside the archive, and not among temporary files: these may be on a file system without devices.
root=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' HUP INT TERM

debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror/debian"

cat >"$root/etc/apt/sources.list" <<SOURCES
deb $mirror/debian bookworm main
deb $mirror/debian bookworm-updates main
deb $mirror/debian-security bookworm-security main
SOURCES

# What no image needs: the package manager's archives, lists and caches, documentation, translations. Packages that are
# added later leave theirs out as well.
cat >"$root/etc/apt/apt.conf.d/90small" <<'APT'
APT::Install-Recommends "false";
Acquire::Languages "none";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
APT
cat >"$root/etc/dpkg/dpkg.cfg.d/90small" <<'DPKG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
DPKG
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/man/*

# A container has no init, so no package may start its services.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

# Last, after what debootstrap has put there.
cp "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"

# The engine fills /dev by itself. An archive that is there is a whole one: it gets its name at the end.
tar --create --numeric-owner --directory "$root" --exclude './dev/*' --file "$archive.part" .
mv "$archive.part" "$archive"
