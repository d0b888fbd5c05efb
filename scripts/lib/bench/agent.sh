#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# agent.sh - carries out the steps that come over the port "bench", each a
# line of base64; the answer is a status and the output, in base64 too.

port=/dev/virtio-ports/bench
exec 7<>"$port"
echo "ready" >&7
while IFS= read -r step <&7 && [ "$step" != end ]; do
	echo "$step" | base64 -d >/tmp/step
	bash /tmp/step >/tmp/answer 2>&1 </dev/null
	echo "$? $(base64 -w0 /tmp/answer)" >&7
done
