#!/bin/sh
# Stands in for an interpreter that does not start.
echo cannot load library >&2
exit 4
