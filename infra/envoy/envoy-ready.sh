#!/bin/bash
# Whether Envoy is ready, asked at its admin port from inside of its container, which has no HTTP client.
exec 3<>/dev/tcp/127.0.0.1/9901
printf 'GET /ready HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n' >&3
read -r _ status _ <&3
[[ $status == 200 ]]
