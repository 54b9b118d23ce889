#!/bin/sh
# Stands in for an interpreter that takes its time and does not start.
sleep 1
exit 4
