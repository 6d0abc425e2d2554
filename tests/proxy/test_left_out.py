# SPDX-License-Identifier: Apache-2.0
"""Cases of the adversarial list that no test here runs, each with its reason."""
import pytest

LEFT_OUT = {
    "A08, A14: what a policy file may say": "a policy comes as a snapshot; tests/unit/test_policy_*.c have the rules",
    "B12: a guest and another guest's addresses": "guests have no network in common; 198.18.0.0/15 is among test_addresses",
    "B14: pool and policy": "tests of the pool: test_intercept.Origins",
    "C10: 100,000 names at 10,000 a second": "tests/unit/test_guest_netnames.c has the bound; the rate: long.py names",
    "E09: the whole zoo of certificates": "test_intercept.Refusals.test_upstream_certificates",
    "E13: tickets of another sandbox": "each sandbox has its own process and keys; another host: test_intercept.Origins",
    "F13, F15, F22": "the list has no such numbers",
    "F27 with all of its origins": "test_garden has those that this machine has",
    "G: HTTP/2": "test_h2, test_grpc",
    "H, I, L01, L02: credentials": "test_credentials tells which is where; docs/secrets.md says what of them is not there yet",
    "J06: thirty minutes": "long.py websocket",
    "K05-K08: packets, frames, vsock": "the guest has no network card and no vsock; tests/vm looks at the machine",
    "M02, M09 (60 s)": "long.py slow, soak.py --minutes 5",
    "M08: ten thousand certificates": "long.py mint",
    "M12: a day of mutated traffic": "long.py mutated, for an hour (docs/performance.md)",
    "N06: a clock set back": "order is by seq, which agree() checks after every test; the clock is the machine's",
    "N07, O: files, keys, processes": "tests/keeper, tests/vm",
    "P05: rules of kits": "tests/unit/test_policy_decide.c",
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_left_out(case):
    pytest.skip(f"{case}: {LEFT_OUT[case]}")
