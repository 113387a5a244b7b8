#!/bin/sh
# Makes the root file system that the stand-ins have in common, Debian 12 at its smallest, as a tar archive.
#
#     base.sh CERTIFICATES ARCHIVE
#
# CERTIFICATES is the file of certificate authorities that this machine trusts; networks with an authority of their own are
# found where there is no registry, and programs in containers are to reach the same places.
set -eu

certificates=$1
archive=$2
mirror=http://deb.debian.org
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# What no image needs is left out, also of packages that are added later: recommendations, translations, documentation. Nor
# does an installation have to survive a power cut.
mmdebstrap --variant=minbase --include=ca-certificates \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="upload $certificates /etc/ssl/certs/ca-certificates.crt" \
    bookworm "$archive" - <<SOURCES
deb [signed-by="$keys"] $mirror/debian bookworm main
deb [signed-by="$keys"] $mirror/debian bookworm-updates main
deb [signed-by="$keys"] $mirror/debian-security bookworm-security main
SOURCES
