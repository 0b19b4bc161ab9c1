#!/bin/sh
# SPDX-License-Identifier: MIT
# percpu export --listen beside clients who mean harm: those who send a byte now and then keep nobody out, and requests under
# names that are not ours are refused.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

wants python3
if "$percpu" export --listen x 2>&1 | grep -q libmicrohttpd; then
	skip_all "built without libmicrohttpd"
fi

pool=http-$$
publisher "$pool" 1 1

# serve ARGUMENT...: sets port.
serve()
{
	: >"$tap_dir/listening"
	"$top_builddir/libtool" --mode=execute "$percpu" export "$@" "$pool" 2>"$tap_dir/listening" &
	server=$!
	publishers="$publishers $server"
	until grep -q '^listening' "$tap_dir/listening"; do
		kill -0 $server || break
		sleep 0.05
	done
	port=$(sed -n 's/^listening.*:\([0-9]*\).*/\1/p' "$tap_dir/listening")
}

cat >"$tap_dir/client.py" <<'END'
import os, select, socket, sys, time
port, what = int(sys.argv[1]), sys.argv[2]

def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=60)

def ask(head, path="/metrics"):
    s = connect()
    s.sendall(b"GET %s HTTP/1.1\r\n" % path.encode() + head + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer or b"# EOF" not in answer:
        got = s.recv(65536)
        if not got:
            break
        answer += got
    s.close()
    return answer

if what == "host":
    head = b"" if sys.argv[3] == "-" else b"Host: %s\r\n" % sys.argv[3].encode()
    print(ask(head).split(b" ")[1].decode())
elif what == "scrape":
    print("whole" if ask(b"Host: localhost\r\n").endswith(b"# EOF\n") else "not whole")
else: # Clients that never get to the end of their request: each of many scrapes is answered all the same.
    clients = []
    def more():
        while len(clients) < 80:
            s = connect()
            s.setblocking(False)
            try:
                s.send(b"GET /metrics HTTP/1.1\r\nX: ")
            except OSError:
                pass
            clients.append(s)
    def drip():
        for s in clients[:]:
            try:
                s.send(b"a")
                if select.select([s], [], [], 0)[0] and not s.recv(1):
                    raise OSError
            except OSError:
                clients.remove(s)
                s.close()
    failed = 0
    for _ in range(12):
        more()
        drip()
        try:
            failed += not ask(b"Host: localhost\r\n").endswith(b"# EOF\n")
        except OSError:
            failed += 1
        time.sleep(0.2)
    if failed:
        print(failed, "of 12 scrapes failed")
    end = time.time() + 100
    while clients and time.time() < end: # and nobody else comes
        drip()
        time.sleep(0.5)
    if clients:
        print(len(clients), "are still connected after 100 seconds")
END

client()
{
	python3 "$tap_dir/client.py" "$port" "$@" 2>&1
}

serve --listen 0 --host example.org,Monitor.example
for host in "localhost 200" "localhost:9101 200" "127.0.0.1:9101 200" "[::1]:9101 200" "10.0.0.1 200" "- 200" \
	"example.org 200" "EXAMPLE.ORG:80 200" "monitor.example 200" "attacker.example 403" "localhost.attacker.example 403" \
	"example.or 403" "127.0.0.1.attacker.example 403" "x127.0.0.1 403"; do
	report "called ${host% *}: status ${host#* }" "$(client host "${host% *}" | grep -vx "${host#* }")"
done
report "clients that drip keep nobody out, and do not stay" "$(client drip)"
report "a scrape after them" "$(client scrape | grep -vx whole)"
kill $server
wait $server
report "a signal ends it well" "$(status=$?; [ $status = 0 ] || echo "status $status")"

serve --listen 0.0.0.0:0
report "called by any name on another address: status 200" "$(client host any.example | grep -vx 200)"
kill $server
serve --listen 0.0.0.0:0 --host example.org
report "but not where names were given" "$(client host any.example | grep -vx 403)"
finish
