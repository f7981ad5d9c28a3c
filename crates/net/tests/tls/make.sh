#!/usr/bin/env bash
# Makes the certificates of these tests anew: an authority, a server of its (api.example, localhost), and one of nobody's.
# They are good for a hundred years and for nothing else; their keys are no secrets.
set -euo pipefail
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -outform der -out "$1"; }
key ca.key; key server.key; key stranger.key
days=36500
openssl req -x509 -new -key ca.key -keyform der -subj "/CN=banger test authority" -days $days \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -outform der -out ca.der
openssl x509 -inform der -in ca.der -out ca.pem
names=subjectAltName=DNS:api.example,DNS:localhost
for one in server stranger; do
  openssl req -new -key $one.key -keyform der -subj "/CN=$one" -out $one.csr
done
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAkeyform der -days $days -set_serial 2 \
  -extfile <(echo "$names") -outform der -out server.der
openssl x509 -req -in stranger.csr -key stranger.key -keyform der -days $days -set_serial 3 \
  -extfile <(echo "$names") -outform der -out stranger.der
rm -f ./*.csr ca.key
