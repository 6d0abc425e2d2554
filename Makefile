# SPDX-License-Identifier: Apache-2.0
#
# Two commands are enough: `make run` shows the thing at work, `make check` tests it. Both install the Debian
# packages that are missing (tools/packages says which), and cost next to nothing to repeat.

.PHONY: help run check check-agents

help:
	@echo 'make run     install what is missing, build, and run a job in a sandbox on a sample repository'
	@echo 'make check   install what the tests need, build, and run every test but the next'
	@echo 'make check-agents   the same, then real agents in sandboxes; needs the npm registry where their layers are not cached'

run:
	@tools/install-packages build run
	@tools/build
	@tools/first-light

check:
	@tools/install-packages build run test
	@tools/check

check-agents:
	@tools/install-packages build run test
	@tools/build
	@tests/agents/run
