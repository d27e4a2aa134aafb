#!/bin/sh
# Starts a daemon that keeps our output open, says so and ends.
sleep 60 &
echo "daemon $!"
echo "started it" >&2
