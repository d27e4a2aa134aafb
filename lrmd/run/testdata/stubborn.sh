#!/bin/sh
# Neither we nor our child care for TERM; the child's pid goes to $1.
trap '' TERM
sh -c 'trap "" TERM; sleep 60; sleep 60' &
echo $! >"$1"
echo "about to hang"
wait
