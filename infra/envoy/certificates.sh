#!/bin/sh
# Makes the certificates of the sidecars: one authority, and for each node a certificate that it has signed.
#
#     certificates.sh DIRECTORY NODE...
#
# writes DIRECTORY/NODE/ca.crt, tls.crt and tls.key, as links through one that is changed in one step: an Envoy that watches the
# directory sees all three change at once. A node is known by the URI spiffe://yelb.local/NODE in its certificate's
# subject alternative names. The authority's own key is never written to DIRECTORY and is deleted at the end, so that no further
# certificate can be signed: a new node means new certificates for all.
#
# What is there and valid for another 30 days is left alone. Needs openssl 1.1.1 or newer.
set -eu

VALID_DAYS=365
RENEW_SECONDS=$((30 * 24 * 3600))

if [ $# -lt 2 ]; then
    echo "usage: $0 DIRECTORY NODE..." >&2
    exit 2
fi
directory=$1
shift

# Whether a node has a certificate of the same authority as the first one, with its key, for long enough.
is_good() {
    for file in ca.crt tls.crt tls.key; do
        [ -s "$directory/$1/$file" ] || return 1
    done
    cmp -s "$directory/$first/ca.crt" "$directory/$1/ca.crt" &&
        openssl verify -CAfile "$directory/$1/ca.crt" "$directory/$1/tls.crt" >/dev/null 2>&1 &&
        openssl x509 -in "$directory/$1/tls.crt" -noout -checkend "$RENEW_SECONDS" >/dev/null
}

first=$1
all_good=yes
for node in "$@"; do
    is_good "$node" || all_good=no
done
if [ "$all_good" = yes ]; then
    echo "the certificates of $* are there and valid"
    exit 0
fi

# Only the owner may read the files, unless a later line says otherwise.
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A key on the curve P-256 and a request or certificate for it.
new_key() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 "$@" 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
}

# Puts a link in the place of another one, in one step. GNU and BSD have different names for "do not follow it".
swap() {
    rm -f "$1/.new"
    ln -s "$2" "$1/.new"
    mv -fT "$1/.new" "$1/$3" 2>/dev/null || mv -fh "$1/.new" "$1/$3"
}

# Gives a node what is in $work, and removes what it had before.
lay_out() {
    version=$(date +%s)-$$
    mkdir -p "$1/$version"
    cp "$work/ca.crt" "$work/tls.crt" "$work/tls.key" "$1/$version/"
    for file in ca.crt tls.crt tls.key; do
        [ -L "$1/$file" ] || swap "$1" "current/$file" "$file"
    done
    swap "$1" "$version" current
    for old in "$1"/*/; do
        case ${old%/} in
            "$1/$version" | "$1/current") ;;
            *) rm -rf "${old%/}" ;;
        esac
    done
}

new_key -x509 -days "$VALID_DAYS" -subj "/O=Yelb/CN=Yelb mesh" -keyout "$work/ca.key" -out "$work/ca.crt" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"

for node in "$@"; do
    printf '%s\n' \
        "subjectAltName=URI:spiffe://yelb.local/$node,DNS:$node.yelb.local" \
        'basicConstraints=critical,CA:FALSE' \
        'keyUsage=critical,digitalSignature' \
        'extendedKeyUsage=serverAuth,clientAuth' >"$work/extensions"
    new_key -subj "/O=Yelb/CN=$node" -keyout "$work/tls.key" -out "$work/request"
    openssl x509 -req -in "$work/request" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -sha256 \
        -days "$VALID_DAYS" -extfile "$work/extensions" -out "$work/tls.crt" 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
    lay_out "$directory/$node"
done
echo "made certificates for $*"
