# SPDX-License-Identifier: Apache-2.0
"""https.py URL: Python's clients, which find proxy and certificates in the environment. Prints a line per client: its name, the body."""
import ssl
import sys
import urllib.error
import urllib.request

import requests

url = sys.argv[1]
try:
    print("urllib", urllib.request.urlopen(url, timeout=10).read().decode())
    print("requests", requests.get(url, timeout=10).text)
except (urllib.error.URLError, requests.exceptions.SSLError) as problem:
    reason = getattr(problem, "reason", problem)
    print("failed", reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else reason)
    sys.exit(1)
