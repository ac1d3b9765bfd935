"""Images that the tests' pods are made of; any with bash and the usual small programs will do."""

import os

SHELL = os.environ.get("KHANTUI_TEST_IMAGE", "ghcr.io/khantui/khantui-shell:0.1.0")
