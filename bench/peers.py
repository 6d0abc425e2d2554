# SPDX-License-Identifier: Apache-2.0
"""The peers of bench/proxy: how each is configured and started. A peer is told where the origin is and which CA signs for it, and serves on
one port; `tunnel` says whether a client begins with CONNECT. All are Debian's packages, one worker, no access log beyond what
they need to be comparable, upstream certificates verified.
"""
import dataclasses
import os
import pathlib
import shutil
import subprocess

ORIGIN = "origin.test"


@dataclasses.dataclass
class Peer:
    name: str
    kind: str  # "splice" or "intercept"
    port: int
    tunnel: bool
    program: str
    start: object  # function (bench, directory) -> argv

    def there(self):
        return shutil.which(self.program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None


def write(path, text):
    pathlib.Path(path).write_text(text)
    return str(path)


def haproxy(bench, d, tls):
    front = f"bind 127.0.0.1:{4101 if tls else 4102}" + (f" ssl crt {bench.pki}/leaf.both alpn http/1.1" if tls else "")
    back = f"server o {bench.origin}:443" + (f" ssl verify required ca-file {bench.pki}/ca.pem sni str({ORIGIN}) verifyhost {ORIGIN}" if tls else "")
    return ["haproxy", "-db", "-f", write(d / "haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode {'http' if tls else 'tcp'}
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  {'http-reuse always' if tls else ''}
frontend f
  {front}
  {'' if tls else 'tcp-request inspect-delay 5s'}
  {'' if tls else 'tcp-request content accept if { req.ssl_sni -m str ' + ORIGIN + ' }'}
  {'' if tls else 'tcp-request content reject'}
  default_backend b
backend b
  {back}
""")]


def nginx(bench, d, tls):
    common = f"""
daemon off; user root; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{ worker_connections 4096; }}
"""
    if tls:
        body = f"""
http {{
  access_log {d}/access.log;
  client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/e; scgi_temp_path {d}/f;
  upstream o {{ server {bench.origin}:443; keepalive 64; }}
  server {{
    listen 127.0.0.1:4103 ssl; ssl_certificate {bench.pki}/leaf.pem; ssl_certificate_key {bench.pki}/leaf.key; ssl_session_cache off; ssl_session_tickets off; keepalive_requests 1000000;
    location / {{
      proxy_pass https://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {ORIGIN};
      proxy_ssl_server_name on; proxy_ssl_name {ORIGIN}; proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate {bench.pki}/ca.pem; proxy_max_temp_file_size 0;
    }}
  }}
}}"""
    else:
        body = f"""
stream {{
  map $ssl_preread_server_name $to {{ {ORIGIN} {bench.origin}:443; default 127.0.0.1:1; }}
  server {{ listen 127.0.0.1:4104; ssl_preread on; proxy_pass $to; }}
}}"""
    module = "" if tls else "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
    return ["nginx", "-p", str(d), "-c", write(d / "nginx.conf", module + common + body)]


def squid(bench, d, bump):
    helper = "/usr/lib/squid/security_file_certgen"
    if bump:
        subprocess.run([helper, "-c", "-s", str(d / "certs"), "-M", "4MB"], check=True, capture_output=True)
        listen = f"http_port 127.0.0.1:4105 ssl-bump tls-cert={bench.pki}/ca.both generate-host-certificates=on dynamic_cert_mem_cache_size=4MB"
        extra = f"sslcrtd_program {helper} -s {d}/certs -M 4MB\nsslcrtd_children 1\nssl_bump bump all\ntls_outgoing_options cafile={bench.pki}/ca.pem"
    else:
        listen, extra = "http_port 127.0.0.1:4106", ""
    for path in (d, *d.rglob("*")):
        os.chmod(path, 0o777 if path.is_dir() else 0o666)
    return ["squid", "-N", "-f", write(d / "squid.conf", f"""
{listen}
{extra}
acl all_ssl port 443
http_access allow all
cache deny all
cache_mem 8 MB
hosts_file {write(d / 'hosts', f'{bench.origin} {ORIGIN}' + chr(10))}
access_log {d}/access.log
cache_log {d}/cache.log
pid_filename {d}/pid
coredump_dir {d}
workers 1
shutdown_lifetime 1 second
""")]


def mitmproxy(bench, d):
    return ["mitmdump", "-q", "--listen-host", "127.0.0.1", "-p", "4107", "--set", f"confdir={d}", "--set", "connection_strategy=lazy",
            "--set", f"ssl_verify_upstream_trusted_ca={bench.pki}/ca.pem", "--set", "flow_detail=0", "--set", "stream_large_bodies=1m"]


PEERS = [
    Peer("squid 5 bump", "intercept", 4105, True, "squid", lambda b, d: squid(b, d, True)),
    Peer("haproxy re-encrypt", "intercept", 4101, False, "haproxy", lambda b, d: haproxy(b, d, True)),
    Peer("nginx re-encrypt", "intercept", 4103, False, "nginx", lambda b, d: nginx(b, d, True)),
    Peer("mitmproxy", "intercept", 4107, True, "mitmdump", mitmproxy),
    Peer("squid CONNECT", "splice", 4106, True, "squid", lambda b, d: squid(b, d, False)),
    Peer("haproxy TCP by SNI", "splice", 4102, False, "haproxy", lambda b, d: haproxy(b, d, False)),
    Peer("nginx ssl_preread", "splice", 4104, False, "nginx", lambda b, d: nginx(b, d, False)),
]
